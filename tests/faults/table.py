"""Which test proves which fault. The page `docs/reference/faults.md` is made of this."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["ELSEWHERE", "NOT_HERE", "SHORT_OF", "faults", "faults_of"]

HERE = Path(__file__).parent

# Tests that stood elsewhere already: the invariants are asserted around those with an event loop too.
ELSEWHERE: dict[int, list[str]] = {
    1: [
        "protocols/test_recordings.py::test_a_single_cut_anywhere_equals_golden",
        "protocols/test_corpus.py::test_capture",
    ],
    2: ["core/test_sse_vectors.py::test_every_split", "core/test_differential.py::test_sse_any_bytes"],
    4: ["protocols/test_mutations.py::test_cut"],
    5: ["protocols/test_mutations.py::test_cut", "streams/sources/test_response.py::test_a_body_that_breaks_off"],
    6: ["providers/test_closing.py::test_a_body_that_stays_open_after_its_end_is_left_at_once"],
    22: [
        "streams/sources/test_response.py::test_retry_after",
        "streams/test_retry_after.py::test_nonsense_is_never_an_error",
    ],
    25: ["streams/sources/test_response.py::test_a_bad_status"],
    26: ["providers/test_closing.py::test_a_client_that_follows_redirects_does_not_follow_them_here"],
    28: ["protocols/test_ends.py::test_what_lingers_after_the_end_is_ignored"],
    29: ["protocols/test_ends.py::test_a_finish_reason_without_done_is_complete"],
    30: ["protocols/test_ends.py::test_neither_is_incomplete"],
    31: ["protocols/test_ends.py::test_done_without_blank_line", "core/test_sse.py::test_at_eof"],
    32: ["core/test_sse_vectors.py::test_every_split"],
    34: ["protocols/encoders/test_sse_framing.py::test_no_field_can_be_injected"],
    35: [
        "core/test_sse.py::test_strict_utf8",
        "core/test_json.py::test_a_lone_surrogate_in_str_is_an_error_of_its_place",
    ],
    36: [
        "core/test_sse.py::test_limit_is_inclusive_and_is_freed_by_dispatch",
        "core/test_ndjson.py::test_limit_is_inclusive",
    ],
    37: [
        "core/test_json.py::test_depth",
        "core/test_json.py::test_digits",
        "core/test_json.py::test_nan",
        "core/test_json.py::test_duplicate_keys",
        "core/test_differential.py::test_json_any_bytes",
    ],
    38: [
        "protocols/test_tools.py::test_unconfirmed_calls_are_incomplete_whatever_they_look_like",
        "core/test_json.py::test_every_cut_of_the_vectors_is_what_the_oracle_says",
    ],
    39: [
        "protocols/test_openai_chat.py::test_calls_of_different_choices_do_not_mix",
        "protocols/test_openai_chat.py::test_no_index",
        "protocols/test_openai_chat.py::test_unknown_messages_stay_raw",
        "protocols/test_shapes.py::test_hostile_shapes_never_raise_nor_get_into_events",
    ],
    43: ["providers/test_closing.py::test_leaving_the_block_closes_the_upstream"],
    44: ["streams/operators/test_contract.py::test_a_stream_that_is_never_read"],
    45: ["streams/operators/test_contract.py::test_a_consumer_that_raises"],
    46: [
        "streams/operators/test_contract.py::test_cancellation_at_every_await_of_the_consumer",
        "streams/operators/test_contract.py::test_cancellation_at_every_await_of_the_source",
        "streams/operators/test_contract.py::test_asyncio_cancels_at_every_await",
    ],
    48: ["streams/operators/test_contract.py::test_close_at_every_await_of_the_consumer"],
    49: ["streams/test_tasks.py::test_a_stream_that_is_left_open_warns"],
    50: [
        "streams/test_pipeline.py::test_r0170_r0177_buffers_hold_no_more_than_they_may_and_a_slow_sink_stops_the_source"
    ],
    51: ["streams/test_combine.py::test_r0181_a_handler_that_is_stuck_loses_and_delays_nobody"],
    52: ["streams/test_tasks.py::test_left_in_another_task_than_the_one_that_entered"],
    53: [
        "core/test_json.py::test_use_from_within_is_an_error",
        "core/test_ndjson.py::test_use_while_a_call_is_running",
        "core/test_sse.py::test_an_exporter_may_use_the_parser",
    ],
    55: [
        "streams/test_pools.py::test_a_slab_that_is_looked_at_is_not_used_again",
        "core/test_sse.py::test_input_is_not_kept",
    ],
    56: [
        "core/test_json.py::test_the_value_before_an_error_stays_and_the_parser_is_done",
        "core/test_sse.py::test_after_close",
    ],
    58: [
        "relay/test_hub.py::test_the_error_of_a_source_reaches_every_reader_as_it_was",
        "streams/operators/test_contract.py::test_an_error_comes_unchanged_once_and_after_what_came_before",
    ],
    59: ["relay/test_processes.py::test_a_killed_producer_is_told_within_two_leases"],
    60: ["streams/operators/test_merge.py::test_r0225_a_silent_input_delays_nobody"],
    62: [
        "providers/test_errors.py::test_overload_before_the_first_token_is_tried_again",
        "streams/operators/test_retry_operator.py::test_r0126_r0128_r0133_two_failures_then_success",
    ],
    63: ["providers/test_errors.py::test_overload_after_the_first_token_is_not_tried_again_and_keeps_what_had_come"],
    64: ["relay/test_hub.py::test_reconnecting_after_every_single_event_loses_and_repeats_nothing"],
    68: ["relay/test_redis.py::test_a_restart_that_keeps_its_data_loses_and_repeats_nothing"],
    69: ["relay/test_redis.py::test_a_restart_without_data_ends_producer_and_readers"],
    70: ["relay/test_redis.py::test_a_lost_end_of_the_log_is_never_passed_over_in_silence"],
    71: ["relay/test_redis.py::test_a_server_that_hangs_is_waited_for_and_nothing_is_written_twice"],
    72: [
        "relay/test_redis.py::test_connections_that_break_all_the_time_lose_and_repeat_nothing",
        "relay/test_redis.py::test_nobody_reads_anothers_bytes_under_a_storm_of_cancellations",
    ],
    73: ["relay/test_hub.py::test_a_stream_that_vanishes_while_it_is_read_is_told"],
    74: [
        "relay/test_hub.py::test_trimming_during_a_read_is_a_gap",
        "relay/test_hub.py::test_trimmed_history_is_a_gap_and_never_silence",
    ],
    76: [
        "relay/test_processes.py::test_a_zombie_that_wakes_up_after_a_takeover_writes_nothing",
        "relay/test_log.py::test_replacing_begins_a_new_epoch_and_fences_the_old_producer",
    ],
    77: ["relay/test_hub.py::test_an_id_is_not_used_again_unless_asked_for"],
    78: ["relay/test_hub.py::test_a_lost_end_marker_does_not_leave_readers_waiting"],
    79: ["relay/test_redis.py::test_the_end_of_payload_is_never_mistaken"],
    80: [
        "relay/test_hub.py::test_forged_foreign_and_damaged_ids_are_refused",
        "relay/test_hub.py::test_what_is_refused_looks_like_what_is_not_there",
        "server/test_answers.py::test_an_event_id_that_nobody_gave_is_400_and_the_function_is_not_called",
        "server/test_answers.py::test_bad_places_to_resume_have_a_status",
    ],
    81: ["relay/test_redis.py::test_what_redis_refuses_has_a_reason_and_its_retry_class"],
    83: [
        "server/test_real_servers.py::test_the_upstream_is_left_within_a_second_of_the_client_leaving",
        "server/test_real_servers.py::test_the_upstream_is_left_when_the_client_does_not_even_wait_for_it_to_answer",
        "server/test_answers.py::test_a_heartbeat_that_raises_oserror_is_a_client_that_left",
    ],
    85: ["server/test_drain.py::test_a_server_with_an_endless_stream_stops_and_its_client_is_told"],
    86: ["relay/test_processes.py::test_a_killed_producer_is_told_within_two_leases"],
    88: [
        "core/test_parser.py::test_out_of_memory_anywhere_in_feed_closes_the_parser",
        "core/test_parser.py::test_out_of_memory_while_the_value_is_read_loses_nothing",
    ],
}

# Faults without a test, and why.
NOT_HERE: dict[int, str] = {
    65: "No client of ours asks a provider to go on: model APIs give no event ids. `retry(resume=)` calls a function "
    "of the application, which alone knows the place; the relay's readers ask our log, which checks the id (80, 70).",
}

# What a test does not cover of its row.
SHORT_OF: dict[int, str] = {
    4: "A wire's finish reason counts as its end too, if nothing follows.",
    5: "`retryable` says that the same request may succeed; not to send it again after content is the retry's.",
    15: "A compressed body that ends early without an error of the client is Truncated.",
    18: "The beginning of the page is in `body`, not in the message.",
    28: "Extras are ignored, and not counted.",
    37: "C against scalar C is compared by `make fuzz`.",
    42: "With our own transport. httpx2's own takes an answer too many in the same packet for the next one.",
    54: "Under the GIL; without it: see `make fuzz` and the free-threaded build.",
    71: "Stopped for less than a second, with time-outs of 0.3 s, in place of 30 s with 5 s.",
    75: "Eviction is, to a reader, the same as FLUSHALL.",
    82: "Ids hold no time.",
    84: "Two seconds, twenty in `make test`, in place of 100 ms; the time is that of an idle machine.",
    85: "Granian ends streams by its own deadline, and without a word.",
    89: "A server whose files may not grow, in place of a disk.",
    92: "On a clock that is moved; a real suspend needs a laptop.",
}


def faults() -> dict[int, tuple[str, str]]:
    """Number -> (chapter, fault and expected outcome)."""
    table = {}
    for line in (HERE / "faults.tsv").read_text(encoding="utf-8").splitlines():
        number, chapter, said = line.split("\t")
        table[int(number)] = (chapter, said)
    return table


def faults_of(name: str) -> list[int]:
    """The numbers in the name of a test: `test_fault_04_05_...`."""
    match = re.match(r"test_fault((?:_\d{2})+)_", name)
    return [int(number) for number in match[1].split("_")[1:]] if match else []

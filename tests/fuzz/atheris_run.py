"""Runs one of `targets.py` under atheris: `python atheris_run.py TARGET [options of libFuzzer] [corpora]`."""

import sys

import atheris

# The oracles and the standard library need no instrumentation; only what is fuzzed guides the fuzzer.
with atheris.instrument_imports(include=["millstream.protocols", "millstream.events", "millstream.core"]):
    from fuzz import targets

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, targets.TARGETS[name])
    atheris.Fuzz()

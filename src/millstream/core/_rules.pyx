"""Rules: what a protocol's usual messages mean, so declared that they are read without orjson and without Python.

Theory of operation. Most messages of a wire are one of few kinds, and say one thing: a text, that an answer is over,
nothing. A protocol may declare these as rules: where the text stands, what must be there, what else its code would look
at. All places of all rules make one tree; a message is walked over once (csrc/ms_pick.h), and the first rule that it
fits says what comes of it. A message that fits none, or is in any way odd, is read by the protocol's own code, as all
of them are without rules: that code says what bytes mean, a rule only what it says of the simplest ones.

Knows nothing of providers; who carries a rule out is _reader.pyx. Held by tests/protocols/test_rules.py.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset

from millstream.core.kernels cimport (
    MS_PICK_FALSY, MS_PICK_NO_TEXT, MS_PICK_NODES, MS_PICK_NOWHERE, MS_PICK_NULL, MS_PICK_NUMBER, MS_PICK_OBJECT,
    MS_PICK_STRING, MS_PICK_TRUE, MS_PICK_ZERO, ms_pick_event, ms_pick_hash, ms_pick_json_line, ms_pick_member,
)

__all__ = ["Rule", "Rules"]

assert NODES == <int>MS_PICK_NODES  # noqa: S101 (two constants of ours, one known to C)


@cython.final
cdef class Rule:
    """What one kind of message means. A message fits if all of this is so; paths are written as for `Shapes`.

    Args:
        when: a string, or True, that must stand at a path; None: nothing, or what Python takes for false; dict: an
            object that has members.
        unless: a string that must not stand at a path.
        needs: paths where something must stand that is not null.
        reads: paths that the protocol's code looks at besides: nothing may stand there, or what Python takes for false.
            "a.*" refuses whatever is not declared below "a"; in "a.*.b" the star is any key. (Where it is, all rules of
            a protocol keep to that path.)
        text: the class of event that the text at a path becomes. At most one of them may have a text; the others may
            have nothing, or what Python takes for false.
        index, choice: paths of whole numbers for the event; with "?" at the end the path may be missing, and means 0.
        names: paths of the model and (or None) the id, for `Start`; what is no string means "".
        begins: `Start` is given, if it was not yet. An event gives it in any case.
        heard: the number that the event has (its choice, if it has one) is added to the decoder's `_heard`.
        finish: path of the reason that is given to the decoder's `_finish`, with the choice.
        latest: paths of objects that `_latest` reads; the last message with such values counts.
        call: name of a method of the decoder that is called with the index, the choice, and the strings at the paths of
            `given` (None: there is none). If it returns False, and has done nothing, this is not its rule after all.
        raw: the class of event that has the whole message, and the name of its event.
    """

    def __cinit__(
        self, *, when=None, unless=None, needs=(), reads=(), text=None, index=None, choice=None, names=None,
        begins=False, heard=False, finish=None, latest=(), call=None, given=(), raw=None,
    ):
        self.when, self.unless, self.text = dict(when or {}), dict(unless or {}), dict(text or {})
        self.needs, self.reads, self.latest = tuple(needs), tuple(reads), tuple(latest)
        self.index, self.choice, self.finish, self.call, self.names = index, choice, finish, call, names
        self.begins, self.heard, self.given, self.raw = begins, heard, tuple(given), raw

    def paths(self):
        """Each path that it looks at."""
        found = [*self.when, *self.unless, *self.needs, *self.reads, *self.text, *self.latest, *self.given]
        found += [self.index, self.choice, self.finish, *(self.names or ())]
        return [path.removesuffix("?") for path in found if path is not None]

    cdef Rule _again(self):
        return Rule(
            when=self.when, unless=self.unless, needs=self.needs, reads=self.reads, text=self.text, index=self.index,
            choice=self.choice, names=self.names, begins=self.begins, heard=self.heard, finish=self.finish,
            latest=self.latest, call=self.call, given=self.given, raw=self.raw,
        )

    cdef bint fits(self, Found *found) noexcept:
        cdef int k, n_texts = 0
        cdef uint8_t place, kind
        for k in range(self._n_needs):
            if found.kind[self._needs[k]] <= <uint8_t>MS_PICK_NULL:
                return False
        for k in range(self._n_when):
            if not _is(found, self._when[k], self._wanted[k]):
                return False
        for k in range(self._n_reads):
            if found.kind[self._reads[k]] > <uint8_t>MS_PICK_FALSY:
                return False
        for k in range(self._n_texts):
            kind = found.kind[self._texts[k]]
            if kind > <uint8_t>MS_PICK_FALSY:
                n_texts += 1
                if kind != MS_PICK_STRING or n_texts > 1:
                    return False
        for k in range(self._n_unless):
            place = self._unless[k]
            kind = found.kind[place]
            if kind > <uint8_t>MS_PICK_FALSY and (
                kind != MS_PICK_STRING or found.text[place].escaped or _is(found, place, self._unwanted[k])
            ):
                return False
        for k in range(self._n_latest):
            kind = found.kind[self._latest[k]]
            if kind > <uint8_t>MS_PICK_FALSY and kind != MS_PICK_OBJECT:
                return False
        if self._index != <uint8_t>MS_PICK_NOWHERE and not _is_number(found, self._index, self._index_optional):
            return False
        if self._choice != <uint8_t>MS_PICK_NOWHERE and not _is_number(found, self._choice, self._choice_optional):
            return False
        for k in range(self._n_given):
            kind = found.kind[self._given[k]]
            if kind > <uint8_t>MS_PICK_NULL and kind != MS_PICK_NO_TEXT and kind != MS_PICK_STRING:
                return False
        if self._finish != <uint8_t>MS_PICK_NOWHERE:
            kind = found.kind[self._finish]
            if kind > <uint8_t>MS_PICK_FALSY and kind != MS_PICK_STRING:
                return False
        if self._model != <uint8_t>MS_PICK_NOWHERE:
            if found.kind[self._model] == MS_PICK_NUMBER or found.kind[self._model] == MS_PICK_ZERO:
                return False
        if self._id != <uint8_t>MS_PICK_NOWHERE:
            if found.kind[self._id] == MS_PICK_NUMBER or found.kind[self._id] == MS_PICK_ZERO:
                return False
        return True


cdef inline bint _is(Found *found, uint8_t place, wanted) noexcept:
    cdef uint8_t kind = found.kind[place]
    if wanted is None:
        return kind <= <uint8_t>MS_PICK_FALSY
    if wanted is True:
        return kind == MS_PICK_TRUE
    if wanted is dict:
        return kind == MS_PICK_OBJECT
    return (
        kind == MS_PICK_STRING and found.text[place].n == <size_t>PyBytes_GET_SIZE(<bytes>wanted)
        and memcmp(found.text[place].p, PyBytes_AS_STRING(<bytes>wanted), found.text[place].n) == 0
    )


cdef inline bint _is_number(Found *found, uint8_t place, bint optional) noexcept:
    cdef uint8_t kind = found.kind[place]
    cdef size_t k
    if kind == MS_PICK_ZERO:
        return True
    if kind != MS_PICK_NUMBER:
        return optional and kind <= <uint8_t>MS_PICK_NULL
    if found.text[place].n > 9:
        return False
    for k in range(found.text[place].n):
        if not c"0" <= found.text[place].p[k] <= c"9":
            return False
    return True


cdef long number_at(Found *found, uint8_t place) noexcept:
    """The whole number that `fits` found there, 0 if there is none."""
    cdef long value = 0
    cdef size_t k
    if place != <uint8_t>MS_PICK_NOWHERE and found.kind[place] == MS_PICK_NUMBER:
        for k in range(found.text[place].n):
            value = value * 10 + (found.text[place].p[k] - c"0")
    return value


@cython.final
cdef class Rules:
    """The rules of a protocol, the first that fits counts. Immutable: one for all decoders of a class.

    Raises: ValueError: too many paths.
    """

    def __cinit__(self, *rules):
        cdef Rule rule
        cdef uint8_t place
        rules = tuple((<Rule>rule)._again() for rule in rules)  # they hold the places of these rules
        self.rules = rules
        self._keys = []
        self.n = 1
        memset(self.nodes, 0, sizeof(self.nodes))
        for rule in rules:
            rule._wanted = [_const(value) for value in rule.when.values()]
            rule._unwanted = [_const(value) for value in rule.unless.values()]
            rule._n_when = rule._n_unless = rule._n_needs = rule._n_reads = 0
            rule._n_texts = rule._n_latest = rule._n_given = 0
            if max(map(len, (rule.when, rule.unless, rule.needs, rule.latest, rule.given))) > 8:
                raise ValueError("a rule can have at most 8 paths of a kind, besides reads and text")
            if len(rule.reads) > NODES or len(rule.text) > NODES:
                raise ValueError(f"a rule can have at most {NODES} paths of a kind")
            for path in rule.when:
                rule._when[rule._n_when] = self._place(path)
                rule._n_when += 1
            for path in rule.unless:
                rule._unless[rule._n_unless] = self._place(path)
                rule._n_unless += 1
            for path in rule.needs:
                rule._needs[rule._n_needs] = self._place(path)
                rule._n_needs += 1
            for path in rule.reads:
                place = self._place(path.removesuffix(".*"))
                if path.endswith(".*"):
                    self.nodes[place].strict = True
                    continue
                rule._reads[rule._n_reads] = place
                rule._n_reads += 1
            for path in rule.text:
                rule._texts[rule._n_texts] = place = self._place(path)
                self.nodes[place].scalar = True
                rule._n_texts += 1
            for path in rule.latest:
                rule._latest[rule._n_latest] = self._place(path)
                rule._n_latest += 1
            rule._classes = list(rule.text.values())
            rule._index = rule._choice = rule._finish = rule._model = rule._id = MS_PICK_NOWHERE
            if rule.index is not None:
                rule._index_optional = rule.index.endswith("?")
                rule._index = self._place(rule.index.removesuffix("?"))
            if rule.choice is not None:
                rule._choice_optional = rule.choice.endswith("?")
                rule._choice = self._place(rule.choice.removesuffix("?"))
            for path in rule.given:
                rule._given[rule._n_given] = self._place(path)
                rule._n_given += 1
            if rule.finish is not None:
                rule._finish = self._place(rule.finish)
            if rule.names is not None:
                rule._model = self._place(rule.names[0])
                if rule.names[1] is not None:
                    rule._id = self._place(rule.names[1])
        # What every rule refuses need not be walked to its end.
        for path in {path for rule in rules for path in rule.reads if not path.endswith(".*")}:
            if "*" in path or all(path in rule.reads for rule in rules):
                self.nodes[self._place(path)].falsy = True

    cdef uint8_t _place(self, str path) except? 255:
        """The node of a path, made if there is none yet."""
        cdef uint8_t node = 0, below
        cdef bytes key
        cdef unsigned slot
        for step in path.split("."):
            if step == "0":
                below = self.nodes[node].element
            elif step == "*":
                below = self.nodes[node].any
            else:
                key = step.encode()
                below = ms_pick_member(self.nodes, node, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
            if below == 0:
                if self.n == NODES:
                    raise ValueError(f"rules can have at most {NODES} places")
                below = self.n
                self.n += 1
                self.nodes[below].many = self.nodes[node].many or step == "*"
                if step == "0":
                    self.nodes[node].element = below
                elif step == "*":
                    self.nodes[node].any = below
                    self.nodes[node].members = True
                else:
                    self._keys.append(key)
                    self.nodes[below].key = PyBytes_AS_STRING(key)
                    self.nodes[below].n = PyBytes_GET_SIZE(key)
                    slot = ms_pick_hash(self.nodes[below].key, self.nodes[below].n)
                    self.nodes[below].next = self.nodes[node].slot[slot]
                    self.nodes[node].slot[slot] = below
                    self.nodes[node].members = True
            node = below
        return node

    cdef size_t read(self, const char *p, size_t n, bint lines, Found *found) noexcept:
        """The length of the frame at p; 0: it is cut off, or no rule can be for it."""
        memset(found.kind, 0, self.n)
        if lines:
            return ms_pick_json_line(p, n, self.nodes, found.kind, found.text)
        return ms_pick_event(p, n, self.nodes, found.kind, found.text)

    cdef Rule which(self, Found *found, Rule after):
        """The first rule, or the first one after another, that what was read fits; None if there is none."""
        cdef Rule rule
        cdef bint passed = after is None
        for rule in self.rules:
            if passed and rule.fits(found):
                return rule
            passed = passed or rule is after
        return None

    def find(self, bytes frame not None, bint lines=False):
        """The rule for a whole event, or (`lines`) a line of JSON; None: the protocol's code reads it."""
        cdef Found found
        if self.read(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), lines, &found) != <size_t>len(frame):
            return None
        return self.which(&found, None)

    def __reduce__(self):
        raise TypeError("Rules cannot be pickled")


def _const(value):
    return value.encode() if isinstance(value, str) else value

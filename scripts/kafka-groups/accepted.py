"""The differences from Kafka that are on purpose: those that accepted.json lists.

An entry has patterns for the kind of step, the place, and both values. It says why, and names the source of Kafka's behaviour.
Three more fields may narrow it, and two widen it:

- "after": the history has had an append that did not succeed at once, as this pattern says.
- "if": a condition of this file holds. It looks at the values, and at what has happened in the history.
- "with": other places of the same group that may differ in the same step, as a consequence, with patterns for both values.
- "parts": the states differ from there on, so the rest of the history is not compared.

A step fails if one of its differences is neither listed nor such a consequence.
"""

import ast
import re
from collections import defaultdict

import comparison

# Errors of a static member's JoinGroup whose record could not be appended.
APPEND_ERRORS = ("COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "UNKNOWN_SERVER_ERROR")


class Facts:
    """What has happened in a history, as far as the list of differences depends on it."""

    def __init__(self, names_protocols_twice):
        self.names_protocols_twice = names_protocols_twice
        self.now = None
        # Appends that have not succeeded at once: kind of request, kind of member, outcome.
        self.failures = set()
        # Groups of requests, by token.
        self.groups_of = {}
        # Session timeouts that requests ask for, by token, and those of members, by member id, ms.
        self.asked, self.sessions = {}, {}
        # Ends of the sessions that Kafka has started anew, by group and member id.
        self.restored = defaultdict(dict)
        # Groups of which a member has named a protocol twice.
        self.twice = set()
        # Groups in whose rebalance Kafka has waited for nobody: up to this step, and up to the one before it.
        self.waits_for_nobody, self.waited_for_nobody = set(), set()

    def note(self, ours, kafka):
        """Takes note of a step."""
        op, self.now = ours["op"], kafka["now"]
        if op.get("append", "ok") != "ok":
            membership = "static" if op.get("instance") else "dynamic"
            self.failures.add(f"{op['kind']} {membership} {op['append']}")
        if "token" in op:
            self.groups_of[op["token"]] = op.get("group")
        if op["kind"] == "join":
            self.note_join(op, kafka)
        for reply in kafka["replies"]:
            if reply["kind"] == "join" and reply["error"] == "NONE":
                self.sessions[reply["member"]] = self.asked[reply["token"]]
        self.waited_for_nobody = set(self.waits_for_nobody)
        for group, view in kafka["groups"].items():
            if view is None or view["state"] == "Empty" or (view["state"] == "Stable" and not view["pending_sync"]):
                # No rebalance is under way.
                self.waits_for_nobody.discard(group)
        self.waits_for_nobody.update(kafka["wait_for_nobody"])

    def note_join(self, op, kafka):
        """Takes note of a JoinGroup."""
        self.asked[op["token"]] = op["session_ms"]
        names = [name for name, _ in op["protocols"]]
        if self.names_protocols_twice and len(set(names)) < len(names):
            self.twice.add(op["group"])
        own = next((reply["error"] for reply in kafka["replies"] if reply["token"] == op["token"]), None)
        if op["instance"] is None or op["append"] in ("ok", "defer") or own not in APPEND_ERRORS:
            return
        view = kafka["groups"].get(op["group"]) or {"members": []}
        for member, instance, *_ in view["members"]:
            if instance == op["instance"] and member in self.sessions:
                self.restored[op["group"]][member] = self.now + self.sessions[member]


def is_restored_member(difference, facts):
    """Says whether Kafka's group has members more than ours, all with sessions that Kafka has started anew."""
    ours, kafka = (ast.literal_eval(side) for side in (difference.ours, difference.kafka))
    restored = facts.restored[difference.group]
    extra = [member for member in kafka if member not in ours]
    return bool(extra) and all(member in kafka for member in ours) and all(
        facts.now < restored.get(member, facts.now) for member, *_ in extra)


def names_a_protocol_twice(difference, facts):
    """Says whether a member of the group has named a protocol twice."""
    return difference.group in facts.twice


def has_no_rebalance_timeout(difference, facts):
    """Says whether no member of Kafka's group had a rebalance timeout at some time of the rebalance that is under way, or of the
    one before this step."""
    return difference.group in facts.waits_for_nobody | facts.waited_for_nobody


CONDITIONS = {
    "restored-member": is_restored_member,
    "protocol-twice": names_a_protocol_twice,
    "no-rebalance-timeout": has_no_rebalance_timeout,
}
PARTS = ("step", "place", "ours", "kafka")
FIELDS = {"id", *PARTS, "why", "kafka_source", "after", "if", "with", "parts"}


class Entry:
    """One accepted difference."""

    def __init__(self, fields):
        self.id = fields.get("id")
        if not (fields.get("why") and fields.get("kafka_source")):
            raise ValueError(f"the accepted difference {self.id} does not say why, or what of Kafka it differs from")
        unknown = fields.keys() - FIELDS
        if unknown:
            raise ValueError(f"the accepted difference {self.id} has unknown fields: {', '.join(sorted(unknown))}")
        self.patterns = [re.compile(fields[part]) for part in PARTS]
        self.after = re.compile(fields.get("after", ""))
        self.condition = CONDITIONS[fields["if"]] if "if" in fields else lambda difference, facts: True
        self.consequences = {place: [re.compile(side) for side in sides] for place, sides in fields.get("with", {}).items()}
        self.parts = fields.get("parts", False)

    def matches(self, difference, facts):
        """Says whether this is the difference."""
        values = (difference.step, difference.place, difference.ours, difference.kafka)
        return (
            all(pattern.fullmatch(value) for pattern, value in zip(self.patterns, values))
            and (not self.after.pattern or any(self.after.fullmatch(failure) for failure in facts.failures))
            and self.condition(difference, facts)
        )

    def brings(self, difference):
        """Says whether the difference is a consequence of this one."""
        sides = self.consequences.get(difference.place)
        values = (difference.ours, difference.kafka)
        return sides is not None and all(side.fullmatch(value) for side, value in zip(sides, values))


class Accepted:
    """The list of differences that are on purpose, for one history after the other."""

    def __init__(self, entries):
        self.entries = [Entry(fields) for fields in entries]
        self.facts = Facts(False)

    def begin(self, names_protocols_twice):
        """Starts a history."""
        self.facts = Facts(names_protocols_twice)

    def find(self, difference):
        """Returns the entry that matches, or None."""
        return next((entry for entry in self.entries if entry.matches(difference, self.facts)), None)

    def judge(self, differences):
        """Returns each difference of a step with its entry, or with None if it is not accepted."""
        found = [(difference, self.find(difference)) for difference in differences]
        causes = [(cause.group, entry) for cause, entry in found if entry and entry.consequences]

        def cause_of(difference):
            return next((entry for group, entry in causes if group == difference.group and entry.brings(difference)), None)

        return [(difference, entry or cause_of(difference)) for difference, entry in found]


def self_test():
    """Checks which differences are accepted, and returns the number of tests."""
    Difference = comparison.Difference
    reason = {"why": "a test", "kafka_source": "none"}
    entry = {"id": "x", "step": "commit", "place": "reply to join", "ours": "NONE", "kafka": comparison.NO_REPLY} | reason
    listed = Difference("commit", "reply to join", "NONE", comparison.NO_REPLY, "g", 1)
    other = Difference("commit", "group: state", "Stable", "Empty", "g")
    accepted = Accepted([entry])
    assert accepted.find(listed).id == "x"
    assert accepted.find(listed._replace(place="reply to join: error")) is None
    # A step with a difference that is listed and one that is not.
    assert [entry and entry.id for _, entry in accepted.judge([listed, other])] == ["x", None]
    parting = Accepted([entry | {"with": {"group: state": ["Stable", "Empty"]}, "parts": True}])
    assert [entry and entry.id for _, entry in parting.judge([other, listed])] == ["x", "x"]
    for unlike in (other._replace(group="h"), other._replace(ours="Dead"), other._replace(place="group: leader")):
        assert [entry and entry.id for _, entry in parting.judge([listed, unlike])] == ["x", None], unlike
    assert [entry for _, entry in parting.judge([other])] == [None]
    after = Accepted([entry | {"after": "join static .*"}])
    join = {"kind": "join", "token": 1, "group": "g", "instance": "i", "append": "MESSAGE_TOO_LARGE", "session_ms": 9,
            "protocols": [["range", ""], ["range", ""]]}
    group = {"state": "PreparingRebalance", "members": [["m", "i"], ["n", None]]}
    step = {"op": join, "now": 5, "groups": {"g": group}, "wait_for_nobody": ["g"],
            "replies": [{"kind": "join", "token": 1, "error": "UNKNOWN_SERVER_ERROR"}]}
    assert after.find(listed) is None
    after.facts.note(step, step)
    assert after.find(listed).id == "x"
    facts = Facts(True)
    facts.sessions["m"] = 9
    facts.note(step, step)
    assert facts.restored == {"g": {"m": 14}} and facts.twice == facts.waits_for_nobody == {"g"}, vars(facts)
    lacks = Difference("advance", "group: members", "[['n', None]]", "[['m', 'i'], ['n', None]]", "g")
    assert is_restored_member(lacks, facts)
    assert not is_restored_member(lacks._replace(ours=lacks.kafka, kafka=lacks.ours), facts)
    assert not is_restored_member(lacks._replace(ours="[['m', 'i']]"), facts)
    facts.now = 14
    assert not is_restored_member(lacks, facts)
    assert names_a_protocol_twice(lacks, facts) and has_no_rebalance_timeout(lacks, facts)
    assert not names_a_protocol_twice(lacks, Facts(True)) and not has_no_rebalance_timeout(lacks, Facts(True))
    return 17

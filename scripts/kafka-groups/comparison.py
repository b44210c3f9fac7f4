"""Compares the outcomes of histories and of assignors, ours with Kafka's. Pure functions over parsed JSON lines.

A difference names the kind of step, the place in its outcome, both values, and the group that it is about. accepted.py says
which differences are on purpose.

Two things are not compared, because they have no meaning. Kafka writes committed offsets in version 4 of the value, and we in
version 3, which has the same fields. Where one step removes several groups, Kafka does so in the order of a hash table.
"""

import re
from typing import NamedTuple

# The fields of a reply that are compared besides its error: with NONE, and with any other error.
REPLY_FIELDS = {
    "join": (("generation", "leader", "member", "protocol_type", "protocol", "skip", "members"), ("member",)),
    "sync": (("protocol_type", "protocol", "assignment"), ()),
    "heartbeat": ((), ()),
    "leave": (("members",), ("members",)),
    "commit": (("topics",), ("topics",)),
    "fetch": (("topics",), ("topics",)),
    "offset_delete": (("topics",), ("topics",)),
    "delete_groups": (("groups",), ("groups",)),
    "describe": (("groups",), ("groups",)),
    "list": (("groups",), ("groups",)),
}
ALL_GROUPS = ("advance", "cleanup", "restart")
# Steps that remove groups one after the other.
SEVERAL_GROUPS = ("cleanup", "delete_groups")
NO_REPLY = "no reply"


class Difference(NamedTuple):
    """A place in an outcome where ours and Kafka's differ. The token is that of a reply that one side lacks. The group is None
    if the place is about several groups."""
    step: str
    place: str
    ours: str
    kafka: str
    group: str = None
    token: int = None

    def kind(self):
        """The difference without values that vary from history to history, to count its like."""
        return (self.step, self.place, short(self.ours), short(self.kafka))


def short(value):
    """Replaces what is random in a value: ids, numbers and bytes."""
    value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value)
    value = re.sub(r"\b[0-9a-f]{12,}\b", "HEX", value)
    value = re.sub(r"-?\b\d+\b", "N", value)
    return value if len(value) <= 100 else value[:100] + "…"


def text(value):
    """Writes a value as one line."""
    return value if isinstance(value, str) else str(value)


def differences(ours, kafka, groups_of):
    """Returns all differences between two outcomes of one step. `groups_of` has the group of each request, by token."""
    step = step_name(ours["op"], kafka["replies"])
    found = places(ours, kafka, groups_of)
    return [Difference(step, place, text(our), text(their), *rest) for place, our, their, *rest in found]


def step_name(op, replies):
    """Returns the kind of a step, and for a request the error that Kafka answers, or "parked"."""
    if "token" not in op:
        return op["kind"]
    own = (reply["error"] for reply in replies if reply["token"] == op["token"])
    return f"{op['kind']} {next(own, 'parked')}"


def places(ours, kafka, groups_of):
    """Yields each place that differs, with both values, the group, and the token of a reply that one side lacks."""
    yield from reply_places(ours["replies"], kafka["replies"], groups_of)
    yield from group_places(ours["groups"], kafka["groups"])
    if "offsets" in ours:
        named = None if ours["op"]["kind"] in ALL_GROUPS else ours["op"].get("groups", [ours["op"].get("group")])
        yield from offset_places(ours["offsets"], kafka.get("offsets", {}), named)
    our_records, their_records = ([readable(record) for record in side["records"]] for side in (ours, kafka))
    if ours["op"]["kind"] in SEVERAL_GROUPS:
        our_records, their_records = sorted(our_records), sorted(their_records)
    yield from record_places(our_records, their_records)
    if ours["now"] != kafka["now"]:
        yield "now", ours["now"], kafka["now"]


def reply_places(ours, kafka, groups_of):
    """Compares the replies that a step completes, by token."""
    ours, kafka = ({reply["token"]: reply for reply in replies} for replies in (ours, kafka))
    for token in sorted(ours.keys() | kafka.keys()):
        our, their, group = ours.get(token), kafka.get(token), groups_of.get(token)
        if our is None or their is None:
            kind = (our or their)["kind"]
            yield f"reply to {kind}", outcome(our), outcome(their), group, token
            continue
        kind = our["kind"]
        if our.get("error", "NONE") != their["error"]:
            yield f"reply to {kind}: error", our.get("error", "NONE"), their["error"], group
            continue
        for field in REPLY_FIELDS[kind][their["error"] != "NONE"]:
            if our.get(field) != their.get(field):
                yield f"reply to {kind}: {field}", our.get(field), their.get(field), group


def outcome(reply):
    """Returns the error of a reply, or that there is none."""
    return NO_REPLY if reply is None else reply.get("error", "NONE")


def group_places(ours, kafka):
    """Compares the groups after a step, field by field."""
    for group in sorted(ours.keys() | kafka.keys()):
        our, their = ours.get(group), kafka.get(group)
        if our is None or their is None:
            if our is not their:
                yield "group", state(our), state(their), group
            continue
        for field in sorted(our.keys() | their.keys()):
            if our.get(field) != their.get(field):
                yield f"group: {field}", our.get(field), their.get(field), group


def state(group):
    """Returns the state of a group, or that there is none."""
    return "no group" if group is None else group["state"]


def offset_places(ours, kafka, named):
    """Compares committed offsets: of the groups named, or of all."""
    for group in sorted(ours.keys() | kafka.keys() if named is None else set(named)):
        if ours.get(group, []) != kafka.get(group, []):
            yield "offsets", ours.get(group, []), kafka.get(group, []), group


def record_places(ours, kafka):
    """Compares the records of a step, group by group. If they differ in nothing but the order of groups, that is one place."""
    if ours == kafka:
        return
    is_in_order = True
    for group in sorted({group_of(key) for key, _ in ours + kafka}):
        our, their = ([record for record in side if group_of(record[0]) == group] for side in (ours, kafka))
        if our != their:
            is_in_order = False
            yield "records", our, their, group
    if is_in_order:
        yield "records", ours, kafka, None


def group_of(key):
    """Returns the group in the key of a record: a version, and then a text with its length, both in two bytes."""
    size = int(key[4:8], 16)
    return bytes.fromhex(key[8:8 + 2 * size]).decode()


def readable(record):
    """Returns the key of a record and its value, as texts. A committed offset becomes its fields, whatever their version."""
    key, value = record
    if value is None:
        return key, "tombstone"
    if key.startswith("0001"):
        return key, offset_fields(bytes.fromhex(value))
    return key, value


def offset_fields(value):
    """Returns the fields of a committed offset as a text: offset, leader epoch, metadata, times of commit and expiry."""
    version = int.from_bytes(value[:2], "big")
    at = 2

    def take(size):
        nonlocal at
        at += size
        return value[at - size:at]

    def number(size):
        return int.from_bytes(take(size), "big", signed=True)

    offset = number(8)
    epoch = number(4) if version >= 3 else -1
    # A length below 128 is one byte; metadata of histories is short.
    length = take(1)[0] - 1 if version >= 4 else number(2)
    metadata, committed = take(length).decode(), number(8)
    expires = number(8) if version == 1 else -1
    rest = value[at:].hex() if version < 4 or value[at:] != b"\0" else ""
    return f"offset {offset}, epoch {epoch}, metadata '{metadata}', committed {committed}, expires {expires}{rest}"


def errors_in(value):
    """Yields each error's name in a reply, also those of its parts."""
    if isinstance(value, dict):
        for part in value.values():
            yield from errors_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from errors_in(part)
    elif isinstance(value, str) and value in ERRORS:
        yield value


# The errors that Kafka's classic coordinator answers; each has to occur.
ERRORS = frozenset((
    "NONE", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "MEMBER_ID_REQUIRED",
    "INCONSISTENT_GROUP_PROTOCOL", "FENCED_INSTANCE_ID", "GROUP_MAX_SIZE_REACHED", "INVALID_GROUP_ID",
    "INVALID_SESSION_TIMEOUT", "NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "GROUP_ID_NOT_FOUND", "NON_EMPTY_GROUP",
    "GROUP_SUBSCRIBED_TO_TOPIC", "OFFSET_METADATA_TOO_LARGE", "UNKNOWN_SERVER_ERROR",
))
STATES = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead")
REQUESTS = tuple(REPLY_FIELDS) + ("cleanup", "advance", "restart", "append_done")


def parked_differences(ours, kafka, forgotten):
    """Yields the difference between the requests that have no reply at the end, but for those that Kafka has forgotten."""
    their_parked = [token for token in kafka["parked"] if token not in forgotten]
    if ours["parked"] != their_parked:
        yield Difference("end", "parked", text(ours["parked"]), text(their_parked))


def self_test():
    """Checks that a change of any compared part is found, and returns the number of tests."""
    join = {"token": 1, "kind": "join", "error": "NONE", "member": "m", "generation": 1}
    group = {"state": "Stable", "generation": 1}
    step = {"op": {"kind": "commit", "group": "g", "token": 2}, "now": 5, "replies": [join], "groups": {"g": group},
            "offsets": {"g": [["t", 0, 1]]}, "records": [["0002000167", None]]}
    assert not differences(step, step, {})
    assert step_name({"kind": "join", "token": 1}, [join]) == "join NONE"
    assert step_name({"kind": "join", "token": 2}, [join]) == "join parked"
    changes = {
        "reply to join": {"replies": []},
        "reply to join: error": {"replies": [join | {"error": "NOT_COORDINATOR"}]},
        "reply to join: generation": {"replies": [join | {"generation": 2}]},
        "group": {"groups": {"g": None}},
        "group: state": {"groups": {"g": group | {"state": "Empty"}}},
        "offsets": {"offsets": {}},
        "records": {"records": [["0002000167", "00"]]},
        "now": {"now": 6},
    }
    for place, change in changes.items():
        found = differences(step, step | change, {1: "g"})
        assert [(difference.place, difference.group) for difference in found] == [(place, None if place == "now" else "g")], place
    g, h = ("0002000167", "1"), ("0002000168", "1")
    assert list(record_places([g, h], [g])) == [("records", [h], [], "h")]
    assert list(record_places([g, h], [h, g])) == [("records", [g, h], [h, g], None)]
    assert list(errors_in({"error": "NONE", "groups": [["g", "NON_EMPTY_GROUP"]]})) == ["NONE", "NON_EMPTY_GROUP"]
    fields = offset_fields(bytes.fromhex("000300000000000000010000000300026d310000018bcfe56800"))
    assert fields == offset_fields(bytes.fromhex("0004000000000000000100000003036d310000018bcfe5680000")), fields
    assert fields == "offset 1, epoch 3, metadata 'm1', committed 1700000000000, expires -1", fields
    assert not list(parked_differences({"parked": [1]}, {"parked": [1, 2]}, {2}))
    assert list(parked_differences({"parked": [1]}, {"parked": [1, 2]}, set()))
    return len(changes) + 9

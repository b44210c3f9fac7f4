"""Compares the assignments of our assignors with those of Kafka's. Pure functions over parsed JSON lines.

Range and round-robin have one assignment. Cooperative-sticky has rounds: a partition that moves has no owner in the round in
which its old owner gives it up. Each round's input is the membership with what the round before assigned, until nothing changes.
"""

from typing import NamedTuple

EXACT = ("range", "roundrobin")
STICKY = "cooperative-sticky"


class Fact(NamedTuple):
    """A thing that was found about one membership."""
    is_fault: bool
    words: str


def compare(ours, kafka):
    """Yields what the assignments of one membership show."""
    for name in EXACT:
        is_equal = ours[name] == kafka[name]
        yield Fact(not is_equal, f"{name} {'equals' if is_equal else 'differs from'} Kafka's")
    owners = previous_owners(ours["members"], ours["topics"])
    our_rounds, their_rounds = ours[STICKY], kafka[STICKY]
    for fault in faults(ours, our_rounds):
        yield Fact(True, f"{STICKY}: {fault}")
    if isinstance(their_rounds, str):
        yield Fact(False, f"{STICKY}: Kafka's own fails: {their_rounds}")
        return
    if any(faults(ours, their_rounds)):
        yield Fact(False, f"{STICKY}: Kafka's own is wrong: {min(faults(ours, their_rounds))}")
        return
    our_moves, their_moves = (moves(owners, rounds) for rounds in (our_rounds, their_rounds))
    yield compared("moves", our_moves, their_moves)
    our_score, their_score = (imbalance(rounds[-1]) for rounds in (our_rounds, their_rounds))
    yield compared("final imbalance", our_score, their_score)
    yield Fact(False, f"{STICKY}: {'the same rounds as' if our_rounds == their_rounds else 'other rounds than'} Kafka's")


def compared(what, ours, kafka):
    """Says whether a number of ours is greater than Kafka's, which is a fault."""
    relation = "more than" if ours > kafka else "less than" if ours < kafka else "the same as"
    return Fact(ours > kafka, f"{STICKY}: {what} {relation} Kafka's")


def partition_counts(topics):
    """Returns the number of partitions by topic."""
    return {name: count for name, count in topics}


def faults(membership, rounds):
    """Yields what is wrong with cooperative rounds in themselves, as words."""
    counts = partition_counts(membership["topics"])
    subscribed = {member["id"]: set(member["topics"]) for member in membership["members"]}
    for assignment in rounds:
        seen = set()
        for member, topic, partition in triples(assignment):
            if (topic, partition) in seen:
                yield "a partition has two owners"
            seen.add((topic, partition))
            if topic not in subscribed[member] or partition >= counts.get(topic, 0):
                yield "a member gets a partition that it does not subscribe to, or that does not exist"
    wanted = sum(counts.get(topic, 0) for topic in set().union(*subscribed.values()))
    if sum(1 for _ in triples(rounds[-1])) != wanted:
        yield "the last round leaves partitions without an owner"


def triples(assignment):
    """Yields member, topic and partition of an assignment."""
    for member, topics in assignment:
        for topic, partitions in topics:
            for partition in partitions:
                yield member, topic, partition


def previous_owners(members, topics):
    """Returns the owner of each partition before: the claim of the newest generation, if one member alone makes it."""
    counts = partition_counts(topics)
    subscribed = {member["id"]: member["topics"] for member in members}
    claims = {}
    for member in members:
        for topic, partitions in member["owned"]:
            for partition in partitions:
                if partition < counts.get(topic, 0):
                    claims.setdefault((topic, partition), []).append((member["generation"], member["id"]))
    owners = {}
    for partition, claimants in claims.items():
        newest = max(generation for generation, _ in claimants)
        of_newest = [member for generation, member in claimants if generation == newest]
        if len(of_newest) == 1 and partition[0] in subscribed[of_newest[0]]:
            owners[partition] = of_newest[0]
    return owners


def moves(owners, rounds):
    """Returns how often an owner loses a partition, over all rounds."""
    count = 0
    for assignment in rounds:
        owned = {(topic, partition): member for member, topic, partition in triples(assignment)}
        count += sum(owned.get(partition) != member for partition, member in owners.items())
        owners = owned
    return count


def imbalance(assignment):
    """Returns the sum of the differences in size between all pairs of members."""
    sizes = sorted(sum(len(partitions) for _, partitions in topics) for _, topics in assignment)
    return sum((2 * rank - len(sizes) + 1) * size for rank, size in enumerate(sizes))


def self_test():
    """Checks the functions on known values, and returns the number of tests."""
    members = [
        {"id": "a", "topics": ["t"], "owned": [["t", [0, 1]]], "generation": 2},
        {"id": "b", "topics": ["t"], "owned": [["t", [1, 2]]], "generation": 1},
        {"id": "c", "topics": ["u"], "owned": [["t", [3]], ["u", [0]]], "generation": 2},
    ]
    owners = previous_owners(members, [["t", 4], ["u", 1]])
    assert owners == {("t", 0): "a", ("t", 1): "a", ("t", 2): "b", ("u", 0): "c"}, owners
    first, second = [["a", [["t", [0]]]], ["b", [["t", [2]]]], ["c", []]], [["a", [["t", [0]]]], ["b", [["t", [1, 2]]]], ["c", []]]
    assert moves(owners, [first, second]) == 2
    assert moves(owners, [first, second, first]) == 3
    membership = {"members": members, "topics": [["t", 3], ["u", 0]]}
    assert not list(faults(membership, [first, second]))
    assert list(faults(membership, [second, first])) == ["the last round leaves partitions without an owner"]
    assert len(list(faults(membership, [[["c", [["t", [0, 1, 2]]]]]]))) == 3
    assert imbalance([["a", [["t", [0, 1, 2]]]], ["b", [["t", [3]]]], ["c", []]]) == 2 + 3 + 1
    assert compared("moves", 2, 1).is_fault and not compared("moves", 1, 1).is_fault
    return 8

"""A chain that a deep reorg stopped goes on as a person says, and credits by what is gone are judged anew."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine

from relay.core.ranges import gaps
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows.chains import Block, overview, resume
from relay.store import audit
from relay.store.engine import reading
from tests.flows.test_matching import PERSON
from tests.flows.test_reversals import Story
from tests.nodes.scripted import STRANGER


@pytest.fixture
def story(engine: Engine) -> Story:
    """A credited order whose final transfer is on a branch that all nodes have left, below what was final."""
    told = Story(engine)
    for _ in range(4):
        told.desk.world.mine()
    told.finalise()
    told.go_on()
    told.desk.world.reorg(5)
    for _ in range(8):
        told.desk.world.mine((STRANGER, STRANGER, 1))
    told.go_on()
    assert told.desk.state("stopped") == "deep_reorg"
    return told


def test_from_a_block_that_is_known_everything_above_is_read_again(story: Story) -> None:
    """And the credit that has no transfer any more is reversed when the new branch is final."""
    desk = story.desk
    good = Block(number=0, hash=desk.world.blocks[0].hash)
    assert resume(desk.engine, "ethereum", good, actor=PERSON, now=desk.now) == 1
    story.go_on()
    assert (desk.state("stopped"), desk.found(), desk.orphans()) == (None, {}, 1)
    story.finalise()
    assert story.go_on(minutes=60) == 1
    assert story.order == ("reversed", 0)
    assert gaps(desk.ranges(), 0, desk.world.head) == []
    with reading(desk.engine) as connection:
        (act,) = audit.page(connection, after=None, limit=10).rows
    assert (act["act"], act["subject"], json.loads(act["detail"])["block"]) == ("chain.resume", "ethereum", 0)


def test_where_the_nodes_were_wrong_what_was_read_stands(story: Story) -> None:
    """The chain stops again while they still say the same."""
    desk = story.desk
    assert resume(desk.engine, "ethereum", None, actor=PERSON, now=desk.now) == 0
    assert [one.state for one in overview(desk.engine, {"ethereum": desk.chain})] == ["off"]
    story.go_on()
    assert desk.state("stopped") == "deep_reorg"
    assert (story.order, len(desk.found())) == (("succeeded", 3_000_000), 1)


def test_a_block_that_is_not_on_the_chain_stops_it_again(story: Story) -> None:
    """The next scan compares it."""
    desk = story.desk
    resume(desk.engine, "ethereum", Block(number=0, hash="0x" + "ab" * 32), actor=PERSON, now=desk.now)
    story.go_on()
    assert desk.state("stopped") == "deep_reorg"


def test_what_makes_no_sense_is_refused(story: Story) -> None:
    """And changes nothing."""
    engine, now = story.desk.engine, story.desk.now
    for block, code in ((99, "0x" + "ab" * 32), (0, "nonsense")):
        with pytest.raises(Unprocessable):
            resume(engine, "ethereum", Block(number=block, hash=code), actor=PERSON, now=now)
    with pytest.raises(NotFound):
        resume(engine, "nowhere", None, actor=PERSON, now=now)
    assert story.desk.state("stopped") == "deep_reorg"
    resume(engine, "ethereum", None, actor=PERSON, now=now)
    with pytest.raises(Conflict):
        resume(engine, "ethereum", None, actor=PERSON, now=now)

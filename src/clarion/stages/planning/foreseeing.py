"""Before the first of many shards: does anybody miss a word that the message must have?

A message to everybody is sent shard by shard. One that is refused as a whole when somebody has no
value for a variable is looked through first, so that it is refused before anything is sent.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from clarion.domain.decision import decide
from clarion.domain.decision_row import inputs
from clarion.domain.frequency import Ledger
from clarion.domain.ids import BUCKETS
from clarion.domain.network import Network
from clarion.domain.send_time import instant_us
from clarion.ports.plan_line import ClaimedShard
from clarion.ports.rendering import PreparedContent
from clarion.stages.planning.ports import PlanningPorts
from clarion.stages.planning.shard import people_of, usage_of
from clarion.stages.planning.writing import WordsMissingError, write


async def check_words(
    ports: PlanningPorts,
    claimed: ClaimedShard,
    words: PreparedContent,
    able: Collection[Network],
) -> None:
    """Decide about everybody, a shard's share at a time, and write for whoever would be sent to.

    Named recipients are all in one shard, which is not committed unless it is complete.

    Raises:
        WordsMissingError: with everybody who misses a word.
        AudienceUnavailableError: the columns can't be read now.
        StoreUnavailableError: the store can't be reached.
    """
    shard = claimed.shard
    if not claimed.target.scanned:
        return
    missing: Counter[str] = Counter()
    recipients = 0
    step = shard.high - shard.low
    for low in range(0, BUCKETS, step):
        part = replace(claimed, shard=replace(shard, low=low, high=min(low + step, BUCKETS)))
        people = await people_of(ports, part, words)
        if not len(people.rows):
            continue
        now = ports.clock.now()
        usage = await usage_of(ports, part, now)
        read = inputs(
            people.rows,
            part.policy,
            targeted=part.target.networks,
            able=able,
            of_country=people.of_country,
        )
        ledger = Ledger.empty() if usage is None else usage.ledger
        said = decide(read, part.policy, now_us=instant_us(now), usage=ledger)
        try:
            write(people.rows, read, said, words, now)
        except WordsMissingError as error:
            missing.update(error.missing_by)
            recipients += error.recipients
    if recipients:
        raise WordsMissingError(recipients, missing)

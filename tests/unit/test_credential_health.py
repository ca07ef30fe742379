"""A credential is judged by its last answers, not by what it could do an hour ago."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.credential_health import Diagnosis, FaultPolicy
from clarion.domain.handoffs import Answers
from clarion.domain.ids import CredentialId
from clarion.domain.outcome import Verdict
from clarion.stages.delivery.health import CredentialHealth

ONE = CredentialId(1)
POLICY = FaultPolicy()
OK, CERTAIN, SUSPECT, RETRY = (
    Verdict.OK,
    Verdict.ALERT_CONFIG,
    Verdict.SUSPECT_TOKEN,
    Verdict.RETRY,
)


def answers(*verdicts: Verdict) -> Answers:
    """A chunk's answers."""
    n = len(verdicts)
    return Answers(
        verdict=np.array(verdicts, np.uint8),
        reason=np.zeros(n, np.uint16),
        status=np.zeros(n, np.uint16),
        retry_after_s=np.full(n, np.nan, np.float32),
        dead_us=np.zeros(n, np.int64),
    )


def proven(accepted: int = 500_000, chunk: int = 250) -> CredentialHealth:
    """A credential in the middle of a long campaign."""
    health = CredentialHealth(policy=POLICY)
    for number in range(accepted // chunk):
        health.judge(ONE, 1, answers(*[OK] * chunk), number * 0.05)
    return health


@given(before=st.integers(0, 250), fault=st.sampled_from([CERTAIN, SUSPECT]))
def test_a_revocation_in_a_long_campaign_is_noticed_with_the_next_chunk(
    before: int, fault: Verdict
) -> None:
    """Whatever was accepted before: a slot sends less than two chunks into the fault."""
    health = proven(accepted=5000)

    first = health.judge(ONE, 1, answers(*[OK] * before, *[fault] * (250 - before)), 9.0)
    second = health.judge(ONE, 1, answers(*[fault] * 250), 9.1)

    assert second is Diagnosis.FAULTY
    assert (first is Diagnosis.FAULTY) == (250 - before >= POLICY.at_least)


def test_a_revocation_is_noticed_after_twenty_faults_in_a_row_in_small_chunks() -> None:
    """Urgent messages go by one and by ten."""
    health = proven()
    found = [health.judge(ONE, 1, answers(CERTAIN), 200.0 + n) for n in range(20)]
    assert found == [*[Diagnosis.HEALTHY] * 19, Diagnosis.FAULTY]


def test_a_fault_of_some_is_noticed_within_the_last_answers() -> None:
    """Every other push fails after half a million were accepted."""
    health = proven()
    seen = 0
    while health.judge(ONE, 1, answers(*[OK, CERTAIN] * 25), 200.0) is not Diagnosis.FAULTY:
        seen += 50
    assert seen <= POLICY.window_answers / 2


def test_bad_tokens_of_an_old_list_do_not_stop_a_campaign() -> None:
    """One in ten, for as long as it takes."""
    health = proven(accepted=5000)
    found = {health.judge(ONE, 1, answers(*([SUSPECT] + [OK] * 9) * 25), 9.0) for _ in range(200)}
    assert found == {Diagnosis.HEALTHY}


def test_a_network_that_is_away_is_no_fault() -> None:
    """Transient answers neither prove nor refute a credential."""
    health = proven(accepted=5000)
    assert health.judge(ONE, 1, answers(*[RETRY] * 250), 9.0) is Diagnosis.HEALTHY


def test_a_rotated_credential_starts_anew() -> None:
    """Neither the old one's merits nor its faults are its own."""
    health = proven(accepted=5000)
    for _ in range(19):
        health.judge(ONE, 1, answers(SUSPECT), 9.0)

    assert health.judge(ONE, 2, answers(SUSPECT), 9.1) is Diagnosis.UNCLEAR
    assert health.judge(ONE, 2, answers(OK, SUSPECT), 9.2) is Diagnosis.HEALTHY


def test_late_answers_of_a_replaced_credential_say_nothing_about_the_new_one() -> None:
    """A chunk that was on the wire while the key was rotated."""
    health = CredentialHealth(policy=POLICY)
    health.judge(ONE, 2, answers(OK), 1.0)

    assert health.judge(ONE, 1, answers(*[CERTAIN] * 250), 1.1) is Diagnosis.FAULTY
    health.forget(ONE, 1)

    assert health.judge(ONE, 2, answers(SUSPECT), 1.2) is Diagnosis.HEALTHY


def test_what_was_accepted_long_ago_proves_nothing() -> None:
    """An hour later, one certain fault is enough again."""
    health = proven(accepted=5000)
    assert health.judge(ONE, 1, answers(CERTAIN), 9.0 + POLICY.window_s) is Diagnosis.FAULTY

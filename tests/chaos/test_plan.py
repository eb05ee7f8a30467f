"""A seed is a run."""

from chaos.plan import LASTS, Blow, draw


def test_a_seed_draws_the_same_run_again_and_another_another() -> None:
    drawn = [draw(seed, jobs=50, strikes=20, workers=2) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].jobs != drawn[2].jobs
    assert drawn[0].strikes != drawn[2].strikes


def test_every_kind_of_blow_falls_and_none_lasts_longer_than_it_may() -> None:
    plan = draw(3, jobs=100, strikes=len(Blow), workers=3)
    assert {strike.blow for strike in plan.strikes} == set(Blow)
    assert all(s.lasts_s <= LASTS[s.blow][1] and s.worker < 3 for s in plan.strikes)
    assert sorted(s.after_job for s in plan.strikes) == [s.after_job for s in plan.strikes]
    assert max(s.after_job for s in plan.strikes) < 100


def test_a_short_run_has_short_blows() -> None:
    plan = draw(3, jobs=100, strikes=len(Blow), workers=1, longest_s=0.5)
    assert all(strike.lasts_s <= 0.5 for strike in plan.strikes)


def test_about_half_the_jobs_are_asked_for_under_a_key() -> None:
    jobs = draw(3, jobs=400, strikes=1, workers=1).jobs
    assert 0.4 < sum(wanted.keyed for wanted in jobs) / len(jobs) < 0.6

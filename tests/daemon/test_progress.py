from __future__ import annotations

from lofi.daemon.progress import Progress

MEASURED = {"loading": 2.0, "diffusion": 6.0, "decoding": 2.0}


def run(progress: Progress) -> list[tuple[float, int]]:
    """Drives a job exactly as long as expected; returns clock and percent."""
    said = []
    for tick in range(101):
        now = tick / 10
        if now == 2.0:
            progress.begin("diffusion", 12, now)
        if 2.0 < now <= 8.0 and tick % 5 == 0:
            progress.advance((tick - 20) // 5, 12, now)
        if now == 8.0:
            progress.begin("decoding", 0, now)
        said.append((now, progress.to_wire(now)["percent"]))
    return said


def test_percent_follows_the_clock_within_ten_points() -> None:
    for now, percent in run(Progress(MEASURED, 0.0)):
        assert abs(percent - 10 * now) <= 10


def test_percent_never_falls_when_a_phase_is_slower_than_thought() -> None:
    progress = Progress(MEASURED, 0.0)
    said = [progress.to_wire(now / 4)["percent"] for now in range(40)]
    progress.begin("diffusion", 10, 10.0)
    said += [progress.to_wire(10 + now / 4)["percent"] for now in range(40)]
    assert said == sorted(said)
    assert max(said) <= 99


def test_steps_stay_at_their_last_value_in_other_phases() -> None:
    progress = Progress(MEASURED, 0.0)
    progress.begin("diffusion", 8, 1.0)
    progress.advance(8, 8, 2.0)
    progress.begin("decoding", 30, 2.0)
    progress.advance(7, 30, 2.5)
    wire = progress.to_wire(2.5)
    assert (wire["step"], wire["total_steps"], wire["phase"]) == (8, 8, "decoding")


def test_measured_steps_correct_the_estimate() -> None:
    progress = Progress(MEASURED, 0.0)
    progress.begin("diffusion", 10, 2.0)
    for step in (1, 2, 3):
        progress.advance(step, 10, 2.0 + 3 * step)
    # Seven steps of three seconds, and the decoder's two.
    assert progress.remaining_sec(11.0) == 23.0


def test_the_first_run_knows_nothing_and_still_moves() -> None:
    progress = Progress({}, 0.0)
    assert progress.to_wire(0.0)["percent"] == 0
    progress.begin("diffusion", 4, 1.0)
    progress.advance(2, 4, 3.0)
    wire = progress.to_wire(3.0)
    assert wire["eta_sec"] == 2.0 and 0 < wire["percent"] < 99


def test_finish_tells_what_each_phase_took() -> None:
    progress = Progress(MEASURED, 0.0)
    progress.begin("diffusion", 0, 1.0)
    progress.begin("decoding", 0, 4.0)
    assert progress.finish(6.0) == {"loading": 1.0, "diffusion": 3.0, "decoding": 2.0}


def test_an_overdue_phase_says_how_much() -> None:
    progress = Progress(MEASURED, 0.0)
    assert progress.overdue_factor(10.0) == 5.0
    assert Progress({}, 0.0).overdue_factor(10.0) == 0.0


def test_a_guess_that_was_far_too_short_does_not_pretend_to_be_nearly_done() -> None:
    progress = Progress({"diffusion": 0.1}, 0.0, is_guess=True)
    assert progress.to_wire(2.0)["percent"] <= 50
    progress.begin("diffusion", 100, 2.0)
    assert progress.to_wire(3.0)["percent"] <= 50
    for step in (1, 2):
        progress.advance(step, 100, 2.0 + 3.0 * step)
    assert progress.to_wire(8.0)["percent"] <= 50
    assert progress.remaining_sec(8.0) == 294.0


def test_no_word_of_an_answer_of_unknown_length_is_taken_for_its_last() -> None:
    progress = Progress({"planning": 20.0, "diffusion": 10.0}, 0.0)
    progress.begin("planning", 0, 0.0)
    for done in range(1, 6):
        progress.advance(done, 0, done / 10)
    assert progress.counts == (5, 0)
    assert progress.remaining_sec(0.5) == 29.5
    progress.begin("planning", 50, 1.0)
    progress.advance(1, 0, 1.5)
    assert progress.counts == (1, 50), "the phase itself has said how many"

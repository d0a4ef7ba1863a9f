"""Classes and marks in one process and in several."""

from selection_runs import NUMBER, write_pairs


def test_any_number_of_processes(tmp_path, run_processes, repo_root):
    write_pairs(tmp_path)
    worker = repo_root / 'tests/helpers/selection_runs.py'
    one, three = (
        run_processes(worker, number, tmp_path / f'of{number}')[0]
        for number in (1, 3)
    )
    assert one == three
    assert {0, 1, 2} == set(one['classes'])
    assert len(one['losses']['tse']) == NUMBER

"""Every batch has one shape, whatever it is made of, and every input is in one."""

from __future__ import annotations

from cod_runner.fixed_batches import ROWS, fixed_batches


def test_a_batch_has_16_rows_of_the_length_of_its_bucket() -> None:
    lengths = [3, 40, 16, 17, *[5] * 20, 0]
    batches = list(fixed_batches(lengths))
    assert [batch.length for batch in batches] == [16, 16, 32, 48]
    for positions, rows, length in batches:
        assert len(rows) == ROWS and rows[: len(positions)] == positions
        assert set(rows[len(positions) :]) <= {positions[-1]}
        assert all(length - 16 < max(1, lengths[position]) <= length for position in positions)
    assert sorted(position for batch in batches for position in batch.positions) == list(range(len(lengths)))
    assert list(fixed_batches([])) == []

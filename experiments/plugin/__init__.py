"""The explorer as a fixture of pytest, for tests of anybody's program.

    from experiments.judge.invariants import no_overlap

    def test_nobody_is_booked_twice(interleavings):
        interleavings(
            [book, book],
            setup=Path("schema.sql"),
            never=no_overlap("booking", resource="staff_id", period="period"),
        )

`interleavings` is what pytest loads in every run: with `bounds`, it imports nothing but pytest.
`checking` is what a test that asks for the fixture needs.
"""

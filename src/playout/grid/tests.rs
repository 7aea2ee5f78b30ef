use super::*;
use crate::media::grid::SHORTEST_LAST;

#[test]
fn segments_meet_and_every_time_has_its_segment() {
    for fps in [24, 25, 30, 50, 60] {
        for frames in [
            1,
            7,
            fps,
            2 * fps - 1,
            2 * fps + fps / 2 - 1,
            2 * fps + fps / 2,
            7 * fps + 3,
            20 * fps,
        ] {
            let grid = Grid::new(fps, 2 * fps, Some(frames.into())).unwrap();
            let period = grid.period().unwrap();
            let count = grid.segments().unwrap();
            let mut end = Ticks::ZERO;
            for number in 0..count * 3 {
                let cell = grid.cell(number);
                assert_eq!(cell.start, end, "{fps} {frames} {number}");
                assert!(cell.end > cell.start);
                assert!((cell.end - cell.start).0 < 180_000 + SHORTEST_LAST.0);
                assert!(cell.end - cell.start >= SHORTEST_LAST.min(period));
                assert_eq!((cell.turn, cell.index), (number / count, number % count));
                for time in [cell.start, cell.end - Ticks(1)] {
                    assert_eq!(grid.number_at(time), number);
                }
                assert_eq!(grid.number_from(cell.start), number);
                assert_eq!(grid.number_from(cell.start + Ticks(1)), number + 1);
                end = cell.end;
            }
            assert_eq!(end.0, period.0 * 3);
        }
    }
}

#[test]
fn what_is_no_grid_is_refused() {
    assert_eq!(Grid::new(29, 58, None), None);
    assert_eq!(Grid::new(0, 60, None), None);
    assert_eq!(Grid::new(30, 0, None), None);
    assert_eq!(Grid::new(30, 60, Some(0)), None);
    let even = Grid::even(Ticks(180_000));
    assert_eq!(
        (
            even.number_at(Ticks(359_999)),
            even.number_from(Ticks(180_001))
        ),
        (1, 2)
    );
}

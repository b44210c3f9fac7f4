//! Events inside the target, on chart 3. Each kind has a row below the chart, which names its colour. In the chart,
//! each event has a mark, and one that lasted has a band. Kinds with many events show their rate instead.

use super::{AXIS, Area, GREEN, GRID, INK, LEFT, PALE, PURPLE, RIGHT, SKY, failed, text};
use crate::num;
use crate::quantity;
use crate::result::Event;
use plotters::prelude::*;
use std::ops::Range;

const ROW: u32 = 26;
const BELOW: u32 = 8;
/// The most events of a kind that are drawn as marks. More marks would hide the chart, so the rate is drawn instead.
const MARKS_MAX: usize = 60;
/// Number of bars that show a rate.
const BARS: u32 = 100;
/// Kinds of events in the order of their rows: name in `events.jsonl`, name for people, colour. The colours of the
/// chart's lines are not used again.
const KINDS: [(&str, &str, RGBColor); 7] = [
    ("stall", "stall", INK),
    ("roll", "roll", GREEN),
    ("seal", "seal", PURPLE),
    ("retention", "retention", SKY),
    ("sync", "sync", RGBColor(128, 96, 0)),
    ("no_spare", "no spare", RGBColor(110, 60, 130)),
    ("recovery", "recovery", PALE),
];

/// Events of one kind, in the order of time.
pub(super) struct Kind<'a> {
    name: &'a str,
    colour: RGBColor,
    events: Vec<&'a Event>,
}

/// Returns the kinds of events within `span`, in seconds since the window opened. Kinds that this build does not know
/// come last.
pub(super) fn kinds<'a>(events: &'a [Event], span: &Range<f64>) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind<'a>> =
        KINDS.iter().map(|(_, name, colour)| Kind { name, colour: *colour, events: Vec::new() }).collect();
    for event in events.iter().filter(|event| event.t_s < span.end && event.end_s() >= span.start) {
        let known = KINDS.iter().position(|(kind, ..)| *kind == event.kind);
        let at =
            known.or_else(|| kinds.iter().position(|kind| kind.name == event.kind)).unwrap_or_else(|| {
                kinds.push(Kind { name: &event.kind, colour: PALE, events: Vec::new() });
                kinds.len() - 1
            });
        kinds[at].events.push(event);
    }
    kinds.retain(|kind| !kind.events.is_empty());
    kinds
}

/// Returns the height of the rows, pixels.
pub(super) fn height(kinds: &[Kind<'_>]) -> u32 {
    let rows = u32::try_from(kinds.len()).unwrap_or(0);
    if rows == 0 { 0 } else { ROW * rows + BELOW }
}

impl Kind<'_> {
    fn has_marks(&self) -> bool {
        self.events.len() <= MARKS_MAX
    }
}

/// Draws bands and marks into a chart of this span, from `low` to `high`.
pub(super) fn mark<'a, DB, Y>(
    chart: &mut ChartContext<'a, DB, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    kinds: &[Kind<'_>],
    span: &Range<f64>,
    (low, high): (f64, f64),
) -> anyhow::Result<()>
where
    DB: DrawingBackend + 'a,
    Y: Ranged<ValueType = f64>,
{
    for kind in kinds.iter().filter(|kind| kind.has_marks()) {
        let lasting = kind.events.iter().filter(|event| event.length_s.is_some());
        let bands = lasting.map(|event| {
            let (from, to) = (event.t_s.max(span.start), event.end_s().min(span.end));
            Rectangle::new([(from, low), (to, high)], kind.colour.mix(0.16).filled())
        });
        chart.draw_series(bands).map_err(failed)?;
        let moments = kind.events.iter().filter(|event| event.length_s.is_none());
        let marks = moments
            .map(|event| PathElement::new([(event.t_s, low), (event.t_s, high)], kind.colour.mix(0.35)));
        chart.draw_series(marks).map_err(failed)?;
    }
    Ok(())
}

/// Draws the rows, each with its name and colour.
pub(super) fn rows(area: &Area<'_>, kinds: &[Kind<'_>], span: &Range<f64>) -> anyhow::Result<()> {
    for (number, kind) in kinds.iter().enumerate() {
        let strip = Strip::at(area, number, span)?;
        strip.name(area, kind)?;
        if kind.has_marks() { strip.marks(area, kind)? } else { strip.rate(area, kind)? }
    }
    Ok(())
}

/// Position of one row, pixels.
struct Strip<'a> {
    span: &'a Range<f64>,
    left: f64,
    /// Pixels per second.
    scale: f64,
    top: i32,
    bottom: i32,
}

impl<'a> Strip<'a> {
    fn at(area: &Area<'_>, row: usize, span: &'a Range<f64>) -> anyhow::Result<Self> {
        let (left, right) = (f64::from(LEFT + AXIS), f64::from(area.dim_in_pixel().0 - RIGHT));
        let top = i32::try_from(ROW)? * i32::try_from(row)?;
        let scale = (right - left) / (span.end - span.start);
        Ok(Self { span, left, scale, top, bottom: top + i32::try_from(ROW)? - 5 })
    }

    fn pixel(&self, t_s: f64) -> i32 {
        let t_s = t_s.clamp(self.span.start, self.span.end);
        let pixels = self.left + (t_s - self.span.start) * self.scale;
        i32::try_from(num::u64_of(pixels)).unwrap_or(i32::MAX)
    }

    fn name(&self, area: &Area<'_>, kind: &Kind<'_>) -> anyhow::Result<()> {
        let swatch = [(16, self.top + 3), (22, self.top + 9)];
        area.draw(&Rectangle::new(swatch, kind.colour.filled())).map_err(failed)?;
        text(area, kind.name, (27, self.top), (11, INK));
        let base = [(self.pixel(self.span.start), self.bottom), (self.pixel(self.span.end), self.bottom)];
        area.draw(&PathElement::new(base, GRID)).map_err(failed)
    }

    fn marks(&self, area: &Area<'_>, kind: &Kind<'_>) -> anyhow::Result<()> {
        for event in &kind.events {
            let (from, to) = (self.pixel(event.t_s), self.pixel(event.end_s()));
            let mark = [(from - 1, self.top + 3), (to.max(from + 1), self.bottom)];
            area.draw(&Rectangle::new(mark, kind.colour.filled())).map_err(failed)?;
        }
        Ok(())
    }

    /// Draws a bar for each hundredth of the time. The height is its share of the busiest bar.
    fn rate(&self, area: &Area<'_>, kind: &Kind<'_>) -> anyhow::Result<()> {
        let bar_s = (self.span.end - self.span.start) / f64::from(BARS);
        let start = |bar: u32| self.span.start + f64::from(bar) * bar_s;
        let count = |bar: u32| {
            let times = start(bar)..start(bar + 1);
            num::count(kind.events.iter().filter(|event| times.contains(&event.t_s)).count())
        };
        let counts: Vec<u64> = (0..BARS).map(count).collect();
        let most = counts.iter().copied().max().unwrap_or(1).max(1);
        for (bar, count) in (0..BARS).zip(counts).filter(|(_, count)| *count > 0) {
            let share = num::f64_of(count) / num::f64_of(most);
            let height = share * f64::from(self.bottom - self.top - 2);
            let height = i32::try_from(num::u64_of(height)).unwrap_or(0);
            let corners = [
                (self.pixel(start(bar)), self.bottom - height),
                (self.pixel(start(bar + 1)) - 1, self.bottom),
            ];
            area.draw(&Rectangle::new(corners, kind.colour.filled())).map_err(failed)?;
        }
        let peak = format!("up to {}", quantity::per_s(num::f64_of(most) / bar_s));
        text(area, &peak, (16, self.top + 13), (10, PALE));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, t_s: f64, length_s: Option<f64>) -> Event {
        Event { t_s, length_s, kind: kind.into(), shard: None, topic: None, partition: None, detail: None }
    }

    #[test]
    fn kinds_keep_their_order_and_unknown_ones_come_last() {
        let events = [
            event("tea", 1.0, None),
            event("seal", 2.0, None),
            event("roll", 3.0, None),
            event("roll", 9.0, None),
        ];
        let named: Vec<_> =
            kinds(&events, &(0.0..5.0)).iter().map(|kind| (kind.name, kind.events.len())).collect();
        assert_eq!(named, [("roll", 1), ("seal", 1), ("tea", 1)]);
    }

    #[test]
    fn what_began_before_and_lasts_into_the_span_is_shown() {
        let events =
            [event("stall", -3.0, Some(4.0)), event("stall", -3.0, Some(1.0)), event("roll", -3.0, None)];
        assert_eq!(kinds(&events, &(0.0..5.0)).iter().map(|kind| kind.events.len()).sum::<usize>(), 1);
    }
}

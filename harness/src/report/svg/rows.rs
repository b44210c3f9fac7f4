//! Rows of events below a time axis, each with its name and colour.

use super::canvas::{Align, Canvas, GRID, Paint, Type};
use super::{LEFT, PLOT_LEFT, PLOT_RIGHT, REMARK};
use crate::report::plot::value::{Colour, Row, RowContent, Rows};

const ROW: f64 = 26.0;
const ABOVE: f64 = 4.0;

/// Returns the height of the rows, pixels.
pub(super) fn height(rows: &Rows) -> f64 {
    ABOVE + ROW * super::count(&rows.rows)
}

/// Draws the rows, the first at `top`.
pub(super) fn draw(canvas: &Canvas<'_>, rows: &Rows, top: f64) -> anyhow::Result<()> {
    let mut y = top + ABOVE;
    for row in &rows.rows {
        Strip { span: rows.x, top: y, bottom: y + ROW - 6.0 }.draw(canvas, row)?;
        y += ROW;
    }
    Ok(())
}

/// The place of one row, pixels.
struct Strip {
    span: (f64, f64),
    top: f64,
    bottom: f64,
}

impl Strip {
    fn across(&self, t_s: f64) -> f64 {
        let share = ((t_s - self.span.0) / (self.span.1 - self.span.0)).clamp(0.0, 1.0);
        PLOT_LEFT + share * (PLOT_RIGHT - PLOT_LEFT)
    }

    fn draw(&self, canvas: &Canvas<'_>, row: &Row) -> anyhow::Result<()> {
        let paint = Paint::of(row.colour);
        canvas.line(&[(PLOT_LEFT, self.bottom), (PLOT_RIGHT, self.bottom)], GRID, 1.0)?;
        canvas.rect((LEFT, self.top + 3.0), (LEFT + 8.0, self.top + 11.0), paint)?;
        let style = Type { size: REMARK, paint: Paint::of(Colour::Ink), align: Align::LeftMiddle };
        canvas.text(&row.name, (LEFT + 13.0, self.top + 7.0), style)?;
        match &row.content {
            RowContent::Events(events) => {
                for (from, to) in events {
                    let (from, to) = (self.across(*from), self.across(*to));
                    let corners = ((from - 1.0, self.top + 3.0), (to.max(from + 1.0), self.bottom));
                    canvas.rect(corners.0, corners.1, paint)?;
                }
            }
            RowContent::Rate { bars, top } => {
                for (from, to, share) in bars {
                    let height = share * (self.bottom - self.top - 2.0);
                    let right = self.across(*to) - 1.0;
                    canvas.rect((self.across(*from), self.bottom - height), (right, self.bottom), paint)?;
                }
                let style = Type { size: 10.0, paint: Paint::of(Colour::Pale), align: Align::Left };
                canvas.text(top, (LEFT, self.top + 14.0), style)?;
            }
        }
        Ok(())
    }
}

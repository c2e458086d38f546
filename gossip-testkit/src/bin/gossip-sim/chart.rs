//! Curves over two axes, as a picture that can be read at the width of a README.

use std::ops::Range;
use std::path::Path;

use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::canvas::{self, AXIS, COLOURS, Painted, Root, TICK};
use crate::failure::Failure;

/// What an axis says, and what it spans.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) range: Range<f64>,
}

/// Where the legend has room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Legend {
    LowerRight,
    UpperLeft,
}

/// A chart whose vertical axis is linear.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Whether the horizontal axis is logarithmic.
    pub(crate) logarithmic: bool,
    /// Whether every point is drawn as a dot: for a few that were measured.
    pub(crate) dots: bool,
    pub(crate) legend: Legend,
    pub(crate) curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Chart {
    /// Writes it.
    pub(crate) fn draw(&self, file: &Path) -> Result<(), Failure> {
        let range = self.x.range.clone();
        canvas::draw(file, |root| {
            if self.logarithmic {
                self.paint(root, range.clone().log_scale().with_key_points(decades(range)))
            } else {
                self.paint(root, range)
            }
        })
    }

    fn paint<X>(&self, root: &Root<'_>, x: X) -> Painted<()>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut plane = canvas::plane(root, &self.title, 32, (x, self.y.range.clone()))?;
        plane
            .configure_mesh()
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .x_labels(10)
            .x_label_formatter(&|x| tick(*x, self.x.range.end))
            .y_label_formatter(&|y| tick(*y, self.y.range.end))
            .axis_desc_style(AXIS)
            .label_style(TICK)
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
            let (start, end) = (self.x.range.start, self.x.range.end);
            let visible = points.iter().copied().filter(|point| (start..=end).contains(&point.0));
            canvas::curve(&mut plane, name, visible, (colour, self.dots))?;
        }
        let position = match self.legend {
            Legend::LowerRight => SeriesLabelPosition::LowerRight,
            Legend::UpperLeft => SeriesLabelPosition::UpperLeft,
        };
        canvas::legend(&mut plane, position)
    }
}

/// Ticks of a logarithmic axis: 1, 2, 5, 10 … where there is room for them, or powers of ten.
fn decades(range: Range<f64>) -> Vec<f64> {
    let steps: &[f64] = if range.end / range.start < 1e3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (-6..=6).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    powers.filter(|tick| (range.start..=range.end).contains(tick)).collect()
}

/// No more decimals than tell ticks apart.
fn tick(value: f64, end: f64) -> String {
    let decimals = if end <= 2.0 || (value > 0.0 && value < 1.0) { 1 } else { 0 };
    format!("{value:.decimals$}")
}

/// A number that is no smaller and ends an axis well: 1, 2, 3, 5 or 8 with zeros.
pub(crate) fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|&round| round >= value).unwrap_or(value)
}

/// Of a curve that is finer than a picture can show, some 400 points.
pub(crate) fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(400).max(1);
    let last = points.last().copied();
    points.into_iter().step_by(step).chain(last).collect()
}

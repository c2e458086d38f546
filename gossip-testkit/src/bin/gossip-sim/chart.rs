//! Curves over two axes, as a picture that can be read at the width of a README.

use std::ops::Range;
use std::path::Path;

use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::canvas::{self, AXIS, COLOURS, Entry, Legend, Painted, Root, Sign, TICK};
use crate::failure::Failure;

/// Name and range of an axis.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) range: Range<f64>,
}

/// A curve and the band in which it is uncertain.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Corners of a polygon around the curve; none if nothing is uncertain.
    pub(crate) band: Vec<(f64, f64)>,
}

/// A chart whose vertical axis is linear.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// True if the horizontal axis is logarithmic.
    pub(crate) logarithmic: bool,
    /// True if every point is drawn as a dot: for curves of few points.
    pub(crate) dots: bool,
    /// Name of the bands in the legend.
    pub(crate) band: &'static str,
    pub(crate) curves: Vec<Curve>,
}

impl Chart {
    /// Writes the picture into a file.
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

    fn legend(&self) -> Legend {
        let colours = COLOURS.into_iter().cycle();
        let curves = self.curves.iter().zip(colours);
        let mut entries: Vec<_> =
            curves.map(|(curve, colour)| Entry { name: curve.name.clone(), sign: Sign::Line(colour) }).collect();
        if self.curves.iter().any(|curve| !curve.band.is_empty()) {
            entries.push(Entry { name: self.band.to_owned(), sign: Sign::Band });
        }
        Legend::new(entries)
    }

    fn paint<X>(&self, root: &Root<'_>, x: X) -> Painted<()>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let area = self.legend().draw(root)?;
        let mut plane = canvas::plane(&area, &self.title, (x, self.y.range.clone()))?;
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
        let (start, end) = (self.x.range.start, self.x.range.end);
        let coloured = || self.curves.iter().zip(COLOURS.into_iter().cycle());
        for (curve, colour) in coloured() {
            // What is outside of the axes is drawn at their edge.
            let corners =
                curve.band.iter().map(|&(x, y)| (x.clamp(start, end), y.clamp(self.y.range.start, self.y.range.end)));
            plane.draw_series([Polygon::new(corners.collect::<Vec<_>>(), colour.mix(0.18).filled())])?;
        }
        for (curve, colour) in coloured() {
            let visible = curve.points.iter().copied().filter(|point| (start..=end).contains(&point.0));
            canvas::curve(&mut plane, visible, (colour, self.dots))?;
        }
        Ok(())
    }
}

/// Ticks of a logarithmic axis: 1, 2, 5, 10 … where there is room for them, or powers of ten.
fn decades(range: Range<f64>) -> Vec<f64> {
    let steps: &[f64] = if range.end / range.start < 1e3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (-6..=6).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    powers.filter(|tick| (range.start..=range.end).contains(tick)).collect()
}

/// Writes a tick with no more decimals than tell it from its neighbours.
fn tick(value: f64, end: f64) -> String {
    let decimals = if end <= 2.0 || (value > 0.0 && value < 1.0) { 1 } else { 0 };
    format!("{value:.decimals$}")
}

/// Returns a number that is no smaller and ends an axis well: 1, 1.5, 2, 3, 4, 5, 6 or 8 with zeros.
pub(crate) fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|&round| round >= value).unwrap_or(value)
}

/// Keeps some 400 points of a curve that is finer than a picture can show.
pub(crate) fn thin<T: Copy>(points: Vec<T>) -> Vec<T> {
    let step = points.len().div_ceil(400).max(1);
    let last = points.last().copied();
    points.into_iter().step_by(step).chain(last).collect()
}

/// The corners around points that each have a lower and an upper end: there on the one side, back on the other.
pub(crate) fn around(ends: &[[(f64, f64); 2]]) -> Vec<(f64, f64)> {
    let there = ends.iter().map(|[low, _]| *low);
    there.chain(ends.iter().rev().map(|[_, high]| *high)).collect()
}

//! Traffic against residue, as a picture that can be read at the width of a README.

use std::path::Path;

use plotters::prelude::*;

use crate::canvas::{self, AXIS, COLOURS, Painted, Root, TICK};
use crate::failure::Failure;

/// Residues below this are as good as none, and would squeeze the rest.
const FLOOR: f64 = 1e-7;

/// A way of spreading rumors, at increasing `k`.
#[derive(Debug)]
pub(crate) struct Curve {
    name: String,
    /// (traffic, residue)
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(name: String, points: Vec<(f64, f64)>) -> Self {
        Self { name, points }
    }
}

/// Curves, and marks to compare them with.
#[derive(Debug)]
pub(crate) struct Picture {
    title: String,
    curves: Vec<Curve>,
    marks: Vec<(f64, f64)>,
}

impl Picture {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), curves: Vec::new(), marks: Vec::new() }
    }

    pub(crate) fn curve(&mut self, curve: Curve) {
        self.curves.push(curve);
    }

    pub(crate) fn mark(&mut self, traffic: f64, residue: f64) {
        self.marks.push((traffic, residue));
    }

    /// Writes it. `marks` is what the legend calls the marks.
    pub(crate) fn draw(&self, marks: &str, file: &Path) -> Result<(), Failure> {
        canvas::draw(file, |root| self.paint(root, marks))
    }

    fn paint(&self, root: &Root<'_>, marks: &str) -> Painted<()> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points).chain(&self.marks);
        // The legend goes where no curve does: to the right of those that fall.
        let traffic = points().map(|point| point.0).fold(1.0, f64::max).ceil() + 1.0;
        let floor = points().map(|point| point.1).filter(|&residue| residue >= FLOOR).fold(1.0, f64::min);
        let residue = 10_f64.powf(floor.log10().floor())..1.0;

        let mut plane = canvas::plane(root, &self.title, 16, (0.0..traffic, residue.clone().log_scale()))?;
        plane
            .configure_mesh()
            .x_desc("traffic: updates sent per site")
            .y_desc("residue: share of sites never reached")
            .y_label_formatter(&|residue| format!("{residue:.0e}"))
            .axis_desc_style(AXIS)
            .label_style(TICK)
            .light_line_style(WHITE)
            .draw()?;
        let law = (0..=200).map(|i| traffic * f64::from(i) / 200.0).map(|m| (m, (-m).exp()));
        let law = law.filter(|&(_, s)| residue.contains(&s));
        plane
            .draw_series(DashedLineSeries::new(law, 6, 5, BLACK.mix(0.6).stroke_width(2)))?
            .label("s = exp(−m)")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], BLACK.mix(0.6).stroke_width(2)));
        for (curve, colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
            let visible = curve.points.iter().copied().filter(|&(_, s)| s >= residue.start);
            canvas::curve(&mut plane, &curve.name, visible, (colour, true))?;
        }
        let cross = |at| Cross::new(at, 8, BLACK.stroke_width(2));
        plane
            .draw_series(self.marks.iter().copied().filter(|&(_, s)| s >= residue.start).map(cross))?
            .label(marks)
            .legend(|(x, y)| Cross::new((x + 12, y), 6, BLACK.stroke_width(2)));
        canvas::legend(&mut plane, SeriesLabelPosition::UpperRight)
    }
}

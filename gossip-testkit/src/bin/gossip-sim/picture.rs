//! Traffic against residue, as a picture that can be read at the width of a README.

use std::path::Path;

use plotters::prelude::*;

use crate::canvas::{self, AXIS, COLOURS, Entry, Legend, Painted, Root, Sign, TICK};
use crate::failure::Failure;

/// Residues below this are not drawn: they would squeeze the rest.
const FLOOR: f64 = 1e-7;

/// A way of spreading rumors, at increasing `k`.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// A measured point of a curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) traffic: f64,
    pub(crate) residue: f64,
    /// Standard error of the residue.
    pub(crate) error: f64,
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

    /// Writes the picture into a file. The legend calls the marks `marks`; vertical lines are two standard errors.
    pub(crate) fn draw(&self, marks: &str, file: &Path) -> Result<(), Failure> {
        canvas::draw(file, |root| self.paint(root, marks))
    }

    fn paint(&self, root: &Root<'_>, marks: &str) -> Painted<()> {
        let measured = || self.curves.iter().flat_map(|curve| &curve.points);
        let points = || measured().map(|point| (point.traffic, point.residue)).chain(self.marks.iter().copied());
        let traffic = points().map(|point| point.0).fold(1.0, f64::max).ceil();
        let floor = points().map(|point| point.1).filter(|&residue| residue >= FLOOR).fold(1.0, f64::min);
        let residue = 10_f64.powf(floor.log10().floor())..1.0;

        let area = self.legend(marks).draw(root)?;
        let mut plane = canvas::plane(&area, &self.title, (0.0..traffic, residue.clone().log_scale()))?;
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
        plane.draw_series(DashedLineSeries::new(law, 6, 5, BLACK.mix(0.6).stroke_width(2)))?;
        for (curve, colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
            let visible = curve.points.iter().filter(|point| point.residue >= residue.start);
            plane.draw_series(visible.clone().map(|point| {
                let end = |error: f64| (point.traffic, (point.residue + error).clamp(residue.start, residue.end));
                PathElement::new([end(-2.0 * point.error), end(2.0 * point.error)], colour.stroke_width(2))
            }))?;
            canvas::curve(&mut plane, visible.map(|point| (point.traffic, point.residue)), (colour, true))?;
        }
        let cross = |at| Cross::new(at, 8, BLACK.stroke_width(2));
        plane.draw_series(self.marks.iter().copied().filter(|&(_, s)| s >= residue.start).map(cross))?;
        Ok(())
    }

    fn legend(&self, marks: &str) -> Legend {
        let entry = |name: &str, sign| Entry { name: name.to_owned(), sign };
        let mut entries = vec![entry("s = exp(−m)", Sign::Dashes), entry(marks, Sign::Cross)];
        let coloured = self.curves.iter().zip(COLOURS.into_iter().cycle());
        entries.extend(coloured.map(|(curve, colour)| entry(&curve.name, Sign::Line(colour))));
        Legend::new(entries)
    }
}

//! Traffic against residue, as a picture that can be read at the width of a README.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::failure::Failure;

pub(crate) const SIZE: (u32, u32) = (900, 640);
pub(crate) const FONT: &str = "sans-serif";
/// Residues below this are as good as none, and would squeeze the rest.
const FLOOR: f64 = 1e-7;
/// Okabe and Ito's colours, which the colour-blind can tell apart, and grey.
pub(crate) const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(110, 80, 30),
    RGBColor(120, 120, 120),
    RGBColor(0, 0, 0),
];

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
        self.paint(marks, file).map_err(|error| failure(file, &*error))
    }

    fn paint(&self, marks: &str, file: &Path) -> Result<(), Box<dyn Error>> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points).chain(&self.marks);
        // The legend goes where no curve does: to the right of those that fall.
        let traffic = points().map(|point| point.0).fold(1.0, f64::max).ceil() + 1.0;
        let floor = points().map(|point| point.1).filter(|&residue| residue >= FLOOR).fold(1.0, f64::min);
        let residue = 10_f64.powf(floor.log10().floor())..1.0;

        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            root.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&root)
                .caption(&self.title, (FONT, 24))
                .margin(16)
                .x_label_area_size(52)
                .y_label_area_size(80)
                .build_cartesian_2d(0.0..traffic, residue.clone().log_scale())?;
            chart
                .configure_mesh()
                .x_desc("traffic: updates sent per site")
                .y_desc("residue: share of sites never reached")
                .y_label_formatter(&|residue| format!("{residue:.0e}"))
                .axis_desc_style((FONT, 19))
                .label_style((FONT, 17))
                .light_line_style(WHITE)
                .draw()?;
            let law = (0..=200).map(|i| traffic * f64::from(i) / 200.0).map(|m| (m, (-m).exp()));
            let law = law.filter(|&(_, s)| residue.contains(&s));
            chart
                .draw_series(DashedLineSeries::new(law, 6, 5, BLACK.mix(0.6).stroke_width(2)))?
                .label("s = exp(−m)")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], BLACK.mix(0.6).stroke_width(2)));
            for (curve, colour) in self.curves.iter().zip(COLOURS.into_iter().cycle()) {
                let visible: Vec<_> = curve.points.iter().copied().filter(|&(_, s)| s >= residue.start).collect();
                let dots = visible.clone();
                chart
                    .draw_series(LineSeries::new(visible, colour.stroke_width(2)))?
                    .label(&curve.name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
                chart.draw_series(dots.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
            }
            let cross = |at| Cross::new(at, 8, BLACK.stroke_width(2));
            chart
                .draw_series(self.marks.iter().copied().filter(|&(_, s)| s >= residue.start).map(cross))?
                .label(marks)
                .legend(|(x, y)| Cross::new((x + 12, y), 6, BLACK.stroke_width(2)));
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .margin(12)
                .legend_area_size(34)
                .background_style(WHITE.mix(0.9))
                .border_style(BLACK.mix(0.3))
                .label_font((FONT, 17))
                .draw()?;
            root.present()?;
        }
        Ok(std::fs::write(file, svg)?)
    }
}

pub(crate) fn failure(file: &Path, error: &dyn Error) -> Failure {
    Failure::Picture { file: file.display().to_string(), reason: error.to_string() }
}

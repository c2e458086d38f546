//! What all pictures have in common: their size, their writing, and how curves and legends look.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged};
use plotters::prelude::*;

use crate::failure::Failure;

const SIZE: (u32, u32) = (900, 640);
const FONT: &str = "sans-serif";
/// What is written along axes, and at their ticks.
pub(crate) const AXIS: (&str, i32) = (FONT, 19);
pub(crate) const TICK: (&str, i32) = (FONT, 17);
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

pub(crate) type Root<'b> = DrawingArea<SVGBackend<'b>, Shift>;
pub(crate) type Plane<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;
pub(crate) type Painted<T> = Result<T, Box<dyn Error>>;

/// Paints a picture and writes it into a file.
pub(crate) fn draw(file: &Path, paint: impl FnOnce(&Root<'_>) -> Painted<()>) -> Result<(), Failure> {
    let mut svg = String::new();
    let painted = || -> Painted<()> {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        paint(&root)?;
        Ok(root.present()?)
    };
    painted().map_err(|error| failure(file, &*error))?;
    fs::write(file, svg).map_err(|error| failure(file, &error))
}

/// Two axes with a title above and so much room to the right.
pub(crate) fn plane<'a, 'b, X: AsRangedCoord, Y: AsRangedCoord>(
    root: &'a Root<'b>,
    title: &str,
    right: i32,
    (x, y): (X, Y),
) -> Painted<Plane<'a, 'b, X::CoordDescType, Y::CoordDescType>> {
    let mut builder = ChartBuilder::on(root);
    builder.caption(title, (FONT, 24)).margin(16).margin_right(right).x_label_area_size(52).y_label_area_size(80);
    Ok(builder.build_cartesian_2d(x, y)?)
}

/// A line through points, which are drawn as dots if they are few.
pub(crate) fn curve<X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    plane: &mut Plane<'_, '_, X, Y>,
    name: &str,
    points: impl Iterator<Item = (f64, f64)> + Clone,
    (colour, dots): (RGBColor, bool),
) -> Painted<()> {
    plane
        .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
        .label(name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
    if dots {
        plane.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    Ok(())
}

/// The legend, when all is drawn.
pub(crate) fn legend<'a, 'b: 'a, X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    plane: &mut Plane<'a, 'b, X, Y>,
    position: SeriesLabelPosition,
) -> Painted<()> {
    plane
        .configure_series_labels()
        .position(position)
        .margin(12)
        .legend_area_size(34)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font(TICK)
        .draw()?;
    Ok(())
}

pub(crate) fn failure(file: &Path, error: &dyn Error) -> Failure {
    Failure::Picture { file: file.display().to_string(), reason: error.to_string() }
}

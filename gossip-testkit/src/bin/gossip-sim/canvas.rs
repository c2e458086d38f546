//! Parts that all pictures share: size, fonts, colours, axes, curves, and a legend beneath the axes.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged};
use plotters::prelude::*;

use crate::failure::Failure;

const SIZE: (u32, u32) = (900, 640);
const FONT: &str = "sans-serif";
/// Font of the names of axes.
pub(crate) const AXIS: (&str, i32) = (FONT, 19);
/// Font of ticks and of the legend.
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

/// Two axes with a title above them.
pub(crate) fn plane<'a, 'b, X: AsRangedCoord, Y: AsRangedCoord>(
    area: &'a Root<'b>,
    title: &str,
    (x, y): (X, Y),
) -> Painted<Plane<'a, 'b, X::CoordDescType, Y::CoordDescType>> {
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, (FONT, 24)).margin(16).margin_right(32).margin_bottom(4);
    builder.x_label_area_size(52).y_label_area_size(80);
    Ok(builder.build_cartesian_2d(x, y)?)
}

/// A line through points, which are drawn as dots if there are few of them.
pub(crate) fn curve<X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    plane: &mut Plane<'_, '_, X, Y>,
    points: impl Iterator<Item = (f64, f64)> + Clone,
    (colour, dots): (RGBColor, bool),
) -> Painted<()> {
    plane.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
    if dots {
        plane.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    Ok(())
}

/// An entry of a legend.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) sign: Sign,
}

/// The sign before an entry's name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    Line(RGBColor),
    Dashes,
    Cross,
    Band,
}

const SIGN: i32 = 34;
const ROW: i32 = 26;
const MARGIN: i32 = 96;

/// Lays a legend out in rows beneath the axes, where no curve can be.
#[derive(Debug)]
pub(crate) struct Legend {
    rows: Vec<Vec<(i32, Entry)>>,
}

impl Legend {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let mut rows: Vec<Vec<(i32, Entry)>> = vec![Vec::new()];
        let mut x = MARGIN;
        for entry in entries {
            // The width of a character of this font, rounded up.
            let width = SIGN + 9 * entry.name.chars().count() as i32 + 24;
            if x > MARGIN && x + width > SIZE.0 as i32 {
                rows.push(Vec::new());
                x = MARGIN;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, entry));
            }
            x += width;
        }
        Self { rows }
    }

    /// Draws it at the lower end of a picture and returns the area above it.
    pub(crate) fn draw<'b>(&self, root: &Root<'b>) -> Painted<Root<'b>> {
        let height = ROW * self.rows.len() as i32 + 12;
        let (above, below) = root.split_vertically(SIZE.1 as i32 - height);
        for (row, y) in self.rows.iter().zip((0..).map(|row| ROW * row + 12)) {
            for (x, Entry { name, sign }) in row {
                let line = |style: ShapeStyle| PathElement::new([(*x, y), (x + 24, y)], style);
                match sign {
                    Sign::Line(colour) => below.draw(&line(colour.stroke_width(3)))?,
                    Sign::Dashes => {
                        for dash in [0, 10, 20] {
                            let dash = [(x + dash, y), (x + dash + 5, y)];
                            below.draw(&PathElement::new(dash, BLACK.mix(0.6).stroke_width(2)))?;
                        }
                    }
                    Sign::Cross => below.draw(&Cross::new((x + 12, y), 6, BLACK.stroke_width(2)))?,
                    Sign::Band => {
                        let corners = [(*x, y - 6), (x + 24, y + 6)];
                        below.draw(&Rectangle::new(corners, BLACK.mix(0.15).filled()))?;
                    }
                }
                below.draw(&Text::new(name.clone(), (x + SIGN, y - 9), TICK))?;
            }
        }
        Ok(above)
    }
}

pub(crate) fn failure(file: &Path, error: &dyn Error) -> Failure {
    Failure::Picture { file: file.display().to_string(), reason: error.to_string() }
}

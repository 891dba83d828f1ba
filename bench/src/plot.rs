//! The figures drawn, as SVG: a bar for every row of a whole way, as a share of the link purely dropped, with its target;
//! and lines of nanoseconds over the number of targets for the program alone.

use std::fmt::Write as _;

use crate::report::{Report, Row, Section, Target, number};
use crate::{inline, kernel};

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 20.0;
/// Where bars begin: names stand left of it.
const NAMES: f64 = 340.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
const LINES_HEIGHT: f64 = 240.0;
const OURS: &str = "#1f6f8b";
const OTHERS: &str = "#b9b9b9";
const COLOURS: [&str; 8] = ["#999999", "#1f6f8b", "#d1495b", "#edae49", "#66a182", "#2e4057", "#8d6a9f", "#a44a3f"];

/// A picture of what can be drawn of a report. None: nothing can.
pub fn svg(report: &Report) -> Option<String> {
    let mut drawing = Drawing { body: String::new(), y: MARGIN };
    for section in &report.sections {
        match section.part {
            inline::PART => drawing.bars(section),
            kernel::PART => drawing.lines(section),
            _ => {}
        }
    }
    if drawing.body.is_empty() {
        return None;
    }
    let height = drawing.y + MARGIN;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
        drawing.body
    ))
}

/// A drawing that grows downwards.
struct Drawing {
    body: String,
    y: f64,
}

impl Drawing {
    fn text(&mut self, x: f64, y: f64, anchor: &str, style: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>");
    }

    fn title(&mut self, text: &str) {
        self.y += STEP;
        self.text(MARGIN, self.y, "start", "font-weight=\"bold\"", text);
        self.y += 12.0;
    }

    /// The first column, which is a share of 1.
    fn bars(&mut self, section: &Section) {
        let bars: Vec<(&Row, f64)> =
            section.rows.iter().filter_map(|row| Some((row, row.figures.first().copied()??))).collect();
        if bars.is_empty() {
            return;
        }
        self.title(&format!("{}: {}", section.title, section.columns.first().map_or("", String::as_str)));
        let longest = bars.iter().map(|(_, share)| *share).fold(1.0, f64::max);
        let scale = (WIDTH - NAMES - 80.0) / longest;
        for (row, share) in bars {
            let (top, width) = (self.y, share * scale);
            let colour = if row.name.starts_with("Writ") { OURS } else { OTHERS };
            self.text(NAMES - 8.0, top + 12.0, "end", "", &row.name);
            _ = writeln!(
                self.body,
                "<rect x=\"{NAMES}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            );
            self.text(NAMES + width + 6.0, top + 12.0, "start", "", &number(share));
            // Only where the share is what the target speaks of.
            if let Some(beside) = &row.beside
                && let Some(Target::AtLeast(least)) = beside.target
                && (beside.ratio - share).abs() < 0.01
            {
                let (x, bottom) = (NAMES + least * scale, top + BAR + 3.0);
                let top = top - 3.0;
                _ = writeln!(
                    self.body,
                    "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#d1495b\" \
                     stroke-width=\"2\"/>"
                );
                self.text(x + 4.0, self.y + 12.0, "start", "fill=\"#d1495b\"", &format!("target {}", number(least)));
            }
            self.y += STEP;
        }
    }

    /// A line for each row, a place for each column.
    fn lines(&mut self, section: &Section) {
        let figures = section.rows.iter().flat_map(|row| &row.figures).flatten();
        let most = figures.copied().fold(0.0, f64::max);
        if most <= 0.0 || section.columns.len() < 2 {
            return;
        }
        self.title(&section.title);
        let (left, right) = (MARGIN + 40.0, WIDTH - 370.0);
        let (top, bottom) = (self.y + 10.0, self.y + LINES_HEIGHT - 30.0);
        let x = |place: usize| left + (right - left) * place as f64 / (section.columns.len() - 1) as f64;
        let y = |figure: f64| bottom - (bottom - top) * figure / most;
        for part in 0..=4 {
            let figure = most * f64::from(part) / 4.0;
            let height = y(figure);
            _ = writeln!(
                self.body,
                "<line x1=\"{left:.1}\" y1=\"{height:.1}\" x2=\"{right:.1}\" y2=\"{height:.1}\" stroke=\"#e5e5e5\"/>"
            );
            self.text(left - 6.0, height + 4.0, "end", "", &format!("{figure:.0}"));
        }
        for (place, column) in section.columns.iter().enumerate() {
            self.text(x(place), bottom + 18.0, "middle", "", column);
        }
        for (number, (row, colour)) in section.rows.iter().zip(COLOURS.into_iter().cycle()).enumerate() {
            let points: Vec<(f64, f64)> = row
                .figures
                .iter()
                .enumerate()
                .filter_map(|(place, figure)| Some((x(place), y(figure.as_ref().copied()?))))
                .collect();
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            _ = writeln!(
                self.body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            let key = top + number as f64 * 18.0;
            _ = writeln!(
                self.body,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>",
                right + 20.0,
                key - 2.0
            );
            self.text(right + 38.0, key + 4.0, "start", "font-size=\"11\"", &row.name);
        }
        self.y += LINES_HEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_are_drawn_and_nothing_else() {
        let mut bars = Section::new(inline::PART, "way", ["of XDP_DROP"]);
        let row = Row::new("Writ <1 %>", [Some(0.5)]);
        bars.rows.push(row.beside("drop", Some(0.5), Some(Target::AtLeast(0.8))));
        let mut lines = Section::new(kernel::PART, "ns", ["1", "1000"]);
        lines.rows.push(Row::new("bystander", [Some(10.0), Some(11.0)]));
        let other = Section::new("latency", "not drawn", ["p50"]);
        let svg = svg(&Report { machine: Vec::new(), sections: vec![bars, lines, other] }).unwrap();
        assert!(svg.contains("target 0.80") && svg.contains("Writ &lt;1 %&gt;"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(!svg.contains("not drawn"));
        assert!(super::svg(&Report::default()).is_none());
    }
}

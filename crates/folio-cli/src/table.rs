//! Columns that line up.

use crate::failure::Result;
use crate::output::Output;
use crate::style::DIM;

/// Rows of a page, printed in columns. The last column is never padded, so it may hold anything.
pub(crate) struct Table<const N: usize> {
    heading: [&'static str; N],
    numbers: [bool; N],
    rows: Vec<[String; N]>,
    headed: bool,
}

impl<const N: usize> Table<N> {
    /// Columns by heading; a heading that begins with `>` stands over numbers, which are flush right.
    pub(crate) fn new(heading: [&'static str; N]) -> Self {
        let numbers = heading.map(|title| title.starts_with('>'));
        Self { heading: heading.map(|title| title.trim_start_matches('>')), numbers, rows: Vec::new(), headed: false }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Prints the rows and forgets them. The heading is printed once, and only on a terminal.
    pub(crate) fn print(&mut self, out: &mut Output) -> Result {
        let heading = self.heading.map(str::to_owned);
        let with_heading = out.for_terminal() && !self.headed && !self.rows.is_empty();
        let mut widths = [0; N];
        for cells in self.rows.iter().chain(with_heading.then_some(&heading)) {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if with_heading {
            self.headed = true;
            out.line(format_args!("{DIM}{}{DIM:#}", self.aligned(&heading, &widths)))?;
        }
        for cells in std::mem::take(&mut self.rows) {
            out.line(self.aligned(&cells, &widths))?;
        }
        Ok(())
    }

    fn aligned(&self, cells: &[String; N], widths: &[usize; N]) -> String {
        let mut line = String::new();
        for (i, ((cell, &width), &number)) in cells.iter().zip(widths).zip(&self.numbers).enumerate() {
            let last = i + 1 == N;
            if width == 0 && !last {
                continue; // a column that nothing stands in
            }
            match (number, last) {
                (true, _) => line.push_str(&format!("{cell:>width$}")),
                (false, true) => line.push_str(cell),
                (false, false) => line.push_str(&format!("{cell:<width$}")),
            }
            if !last {
                line.push_str("  ");
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let table = Table::new([">SIZE", "PATH"]);
        let cell = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(table.aligned(&cell("1 B", "a"), &[8, 3]), "     1 B  a");
        assert_eq!(table.aligned(&cell("1023.0 B", "long.txt"), &[8, 8]), "1023.0 B  long.txt");
    }
}

//! Aligned columns of text.

/// A table that grows by rows.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Characters of a cell that are shown.
const CELL_CHARS_MAX: usize = 60;

impl Table {
    /// A table with these column heads.
    pub fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// Adds a row; cells over 60 characters are cut.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cut(&cell)).collect());
    }

    /// Adds a row of which nothing is cut.
    pub fn whole_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table's lines.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(&widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide - width(cell))));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn cut(cell: &str) -> String {
    if width(cell) <= CELL_CHARS_MAX {
        return cell.to_owned();
    }
    cell.chars().take(CELL_CHARS_MAX - 1).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_long_cells_cut() {
        let mut table = Table::new(&["id", "what"]);
        table.row(["a".repeat(5), "x".repeat(100)]);
        let lines: Vec<String> = table.lines().collect();
        assert_eq!(lines[0], "id     what");
        assert_eq!(lines[1], format!("aaaaa  {}…", "x".repeat(59)));
        table.whole_row(["a".to_owned(), "x".repeat(100)]);
        assert_eq!(table.lines().nth(2), Some(format!("a      {}", "x".repeat(100))));
    }
}

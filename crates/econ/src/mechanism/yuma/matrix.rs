//! A dense matrix in one piece of memory, row after row.

use serde::{Deserialize, Serialize};

/// A dense row-major matrix: one row a validator, one column a miner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix<T> {
    rows: usize,
    columns: usize,
    cells: Vec<T>,
}

impl<T: Copy> Matrix<T> {
    /// A matrix of `rows` × `columns` cells that all hold `value`.
    pub fn filled(rows: usize, columns: usize, value: T) -> Self {
        Self { rows, columns, cells: vec![value; rows * columns] }
    }

    /// A matrix of the given rows; `None` when they differ in length.
    pub fn from_rows(rows: &[Vec<T>]) -> Option<Self> {
        let columns = rows.first().map_or(0, Vec::len);
        let same = rows.iter().all(|row| row.len() == columns);
        same.then(|| Self { rows: rows.len(), columns, cells: rows.concat() })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The cells of one row. Panics when there is no such row.
    #[inline]
    pub fn row(&self, row: usize) -> &[T] {
        &self.cells[row * self.columns..(row + 1) * self.columns]
    }

    /// The cells of one row, to change. Panics when there is no such row.
    #[inline]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        &mut self.cells[row * self.columns..(row + 1) * self.columns]
    }

    /// One cell. Panics when there is no such cell.
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> T {
        self.cells[row * self.columns + column]
    }

    /// Puts `value` into one cell. Panics when there is no such cell.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, value: T) {
        self.cells[row * self.columns + column] = value;
    }

    /// Puts `value` into every cell of a column, as a reset of the bonds of one miner does.
    pub fn fill_column(&mut self, column: usize, value: T) {
        for row in 0..self.rows {
            self.set(row, column, value);
        }
    }

    /// All cells, row after row.
    pub fn cells(&self) -> &[T] {
        &self.cells
    }

    /// All cells, row after row, to change.
    pub fn cells_mut(&mut self) -> &mut [T] {
        &mut self.cells
    }

    /// The rows as vectors, for reports.
    pub fn to_rows(&self) -> Vec<Vec<T>> {
        (0..self.rows).map(|row| self.row(row).to_vec()).collect()
    }
}

//! Collects the first number that lies outside its range.

use super::ScenarioError;

/// Checks numbers one after another and keeps the first that does not fit.
#[derive(Debug, Default)]
pub struct Ranges {
    first: Option<ScenarioError>,
}

impl Ranges {
    /// Requires `least <= value <= most`. A NaN fits no range.
    pub fn within(&mut self, field: &str, value: f64, least: f64, most: f64) {
        if !(least..=most).contains(&value) && self.first.is_none() {
            let field = field.to_owned();
            self.first = Some(ScenarioError::OutOfRange { field, given: value, least, most });
        }
    }

    /// Whether all numbers fit.
    ///
    /// # Errors
    /// [`ScenarioError::OutOfRange`] of the first that does not.
    pub fn finish(self) -> Result<(), ScenarioError> {
        self.first.map_or(Ok(()), Err)
    }
}

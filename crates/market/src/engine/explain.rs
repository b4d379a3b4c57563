//! Queries that explain.

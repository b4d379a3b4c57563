//! A small Monte Carlo path tracer. It renders one frame of a turntable animation of an OBJ mesh, and gives the same
//! bytes for the same arguments wherever it runs: no threads, no clock, no randomness, no math from the host.
//!
//! [`obj`] reads the mesh, [`studio`] sets it up, [`bvh`] finds what a ray hits, [`light`] follows light with points
//! from [`sampler`], [`render`] does so for each pixel, [`denoise`] and [`film`] make the picture.

pub mod bvh;
pub mod denoise;
pub mod film;
pub mod light;
pub mod obj;
pub mod render;
pub mod sampler;
pub mod studio;

//! Physics: no light is lost or made.

#![allow(clippy::expect_used, reason = "a test may panic")]

use glam::Vec3;
use pathtrace::bvh::Ray;
use pathtrace::light::{Sample, camera_sample};
use pathtrace::obj::{Material, Mesh, parse_obj};
use pathtrace::sampler::Sampler;
use pathtrace::studio::{Sky, Studio};

/// Two walls that meet at a right angle, on the floor, so that light goes to and fro.
fn corner(material: Material) -> Mesh {
    let text = "v -1 0 -1\nv 1 0 -1\nv 1 1 -1\nv -1 1 -1\nv -1 0 1\nv -1 1 1\nf 1 2 3 4\nf 1 4 6 5\n";
    let mut mesh = parse_obj("corner.obj", text, &|_| Ok(String::new())).expect("valid");
    mesh.materials[0] = material;
    mesh
}

/// A studio in which every point of a white scene receives and sends the same light: 1.
fn furnace(material: Material, floor: Vec3) -> Studio {
    let mut studio = Studio::new(&corner(material), 0.0);
    studio.sky = Sky::Even(1.0);
    studio.light.radiance = Vec3::ZERO;
    studio.floor.colour = floor;
    studio
}

fn mean_radiance(studio: &Studio) -> (f32, f32) {
    let mut sum = 0.0;
    let mut largest_error = 0.0f32;
    for y in 0..32 {
        for x in 0..32 {
            let mut sampler = Sampler::new(x, y, 0, 0, 0);
            let target = Vec3::new(x as f32 / 16.0 - 1.0, 0.2, y as f32 / 16.0 - 1.0);
            let origin = Vec3::new(0.5, 3.0, 4.0);
            let ray = Ray { origin, direction: (target - origin).normalize() };
            let Sample { emission, albedo, irradiance, reflection, .. } =
                camera_sample(studio, &ray, &mut sampler);
            let radiance = (emission + albedo * irradiance + reflection).x;
            sum += radiance;
            largest_error = largest_error.max((radiance - 1.0).abs());
        }
    }
    (sum / 1024.0, largest_error)
}

fn white(metal: bool, coat: f32) -> Material {
    Material { colour: Vec3::ONE, roughness: 0.0, metal, coat }
}

#[test]
fn a_white_scene_in_even_light_is_invisible() {
    for material in [white(false, 0.0), white(false, 1.0), white(true, 0.0)] {
        let (mean, largest_error) = mean_radiance(&furnace(material.clone(), Vec3::ONE));
        assert!((mean - 1.0).abs() < 1e-3, "{material:?}: mean {mean}");
        assert!(largest_error < 1e-2, "{material:?}: one path is off by {largest_error}");
    }
}

#[test]
fn a_scene_that_absorbs_is_darker() {
    let grey = Material { colour: Vec3::splat(0.5), ..white(false, 0.0) };
    let (mean, _) = mean_radiance(&furnace(grey, Vec3::splat(0.5)));
    // Half at each bounce: less than a single bounce would send back, and at least three of them.
    assert!((0.3..0.5).contains(&mean), "mean {mean}");
}

#[test]
fn the_softbox_lights_the_floor_as_the_integral_says() {
    let mut studio = furnace(white(false, 0.0), Vec3::ONE);
    studio.sky = Sky::Even(0.0);
    studio.light.radiance = Vec3::ONE;
    let point = Vec3::new(-1.3, 0.0, 1.5);
    let origin = point + Vec3::new(0.0, 2.0, 2.0);
    let ray = Ray { origin, direction: (point - origin).normalize() };
    let samples = 1024;
    let estimate = (0..samples)
        .map(|i| camera_sample(&studio, &ray, &mut Sampler::new(0, 0, i, 10, 0)))
        .map(|sample| sample.irradiance.x)
        .sum::<f32>()
        / samples as f32;
    // The midpoint rule over the rectangle; nothing of this point's view of it is blocked.
    let mut integral = 0.0;
    for (i, j) in (0..100).flat_map(|i| (0..100).map(move |j| (i, j))) {
        let to_light = studio.light.point(((i as f32 + 0.5) / 100.0, (j as f32 + 0.5) / 100.0)) - point;
        let direction = to_light.normalize();
        let shining = -studio.light.area_normal().dot(direction);
        integral += direction.y * shining / (std::f32::consts::PI * to_light.length_squared()) / 10_000.0;
    }
    assert!(integral > 0.02, "integral {integral}");
    // The floor also receives what the white corner sends back.
    assert!(estimate > integral * 0.99 && estimate < integral * 1.3, "{estimate} and {integral}");
}

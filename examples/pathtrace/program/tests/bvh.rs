//! The tree finds what a search through all triangles finds.

#![allow(clippy::expect_used, reason = "a test may panic")]

use glam::Vec3;
use pathtrace::bvh::{Bvh, FAR, Ray};

/// Numbers in -1..1 from a fixed seed (xorshift).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / 2_147_483_648.0 - 1.0
    }

    fn vector(&mut self) -> Vec3 {
        Vec3::new(self.next(), self.next(), self.next())
    }
}

fn distance_to_triangle(ray: &Ray, [a, b, c]: &[Vec3; 3]) -> Option<f32> {
    let normal = (b - a).cross(c - a);
    let t = normal.dot(a - ray.origin) / normal.dot(ray.direction);
    let point = ray.origin + ray.direction * t;
    let inside = [(a, b), (b, c), (c, a)]
        .iter()
        .all(|(from, to)| (*to - *from).cross(point - *from).dot(normal) >= 0.0);
    (t > 0.0 && inside).then_some(t)
}

fn compare(triangles: &[[Vec3; 3]], rays: impl Iterator<Item = Ray>) -> usize {
    let bvh = Bvh::build(triangles);
    let mut hits = 0;
    for ray in rays {
        let expected = triangles
            .iter()
            .filter_map(|triangle| distance_to_triangle(&ray, triangle))
            .min_by(f32::total_cmp);
        let found = bvh.nearest(&ray, FAR);
        assert_eq!(found.is_some(), expected.is_some(), "{ray:?}");
        assert_eq!(bvh.is_blocked(&ray, FAR), expected.is_some(), "{ray:?}");
        if let (Some(hit), Some(t)) = (found, expected) {
            hits += 1;
            assert!((hit.t - t).abs() < 1e-3 * t.max(1.0), "{} instead of {t}", hit.t);
            let own = distance_to_triangle(&ray, &triangles[hit.triangle as usize])
                .expect("the named triangle is hit");
            assert!((own - hit.t).abs() < 1e-3 * t.max(1.0));
            assert!(!bvh.is_blocked(&ray, hit.t * 0.99) && bvh.is_blocked(&ray, hit.t * 1.01));
        }
    }
    hits
}

#[test]
fn the_tree_equals_a_search_through_all_triangles() {
    let mut numbers = Numbers(2_463_534_242);
    let triangles: Vec<[Vec3; 3]> = (0..700)
        .map(|_| {
            let corner = numbers.vector();
            [corner, corner + numbers.vector() * 0.4, corner + numbers.vector() * 0.4]
        })
        .collect();
    let rays =
        (0..2000).map(|_| Ray { origin: numbers.vector() * 2.0, direction: numbers.vector().normalize() });
    let hits = compare(&triangles, rays);
    assert!((400..1900).contains(&hits), "{hits} hits: the comparison says little");
}

#[test]
fn rays_along_the_axes_and_flat_meshes_are_no_exception() {
    let mut numbers = Numbers(7);
    let triangles: Vec<[Vec3; 3]> = (0..100)
        .map(|i| {
            let corner = Vec3::new((i % 10) as f32, 0.0, (i / 10) as f32);
            [corner, corner + Vec3::X, corner + Vec3::Z]
        })
        .collect();
    let rays = (0..400).map(|_| {
        let origin = Vec3::new(5.0 + 5.0 * numbers.next(), 3.0, 5.0 + 5.0 * numbers.next());
        Ray { origin, direction: Vec3::NEG_Y }
    });
    assert!(compare(&triangles, rays) > 100);
}

#[test]
fn triangles_in_one_place_still_make_a_tree() {
    let triangle = [Vec3::ZERO, Vec3::X, Vec3::Y];
    let bvh = Bvh::build(&[triangle; 1000]);
    let ray = Ray { origin: Vec3::new(0.2, 0.2, 1.0), direction: Vec3::NEG_Z };
    assert_eq!(bvh.nearest(&ray, FAR).map(|hit| hit.t), Some(1.0));
}

#[test]
fn a_single_triangle_is_a_tree_too() {
    let triangle = [Vec3::ZERO, Vec3::X, Vec3::Y];
    let ray = |x: f32| Ray { origin: Vec3::new(x, 0.2, 1.0), direction: Vec3::NEG_Z };
    let bvh = Bvh::build(&[triangle]);
    assert!(bvh.is_blocked(&ray(0.2), FAR) && !bvh.is_blocked(&ray(1.2), FAR));
}

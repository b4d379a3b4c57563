//! Light transport: what one camera ray sees.
//!
//! Diffuse light is estimated with a ray to the softbox (next-event estimation) and a cosine-distributed bounce,
//! which goes on until Russian roulette ends it. Coats and metals also send one reflected ray, always, so that the
//! reflection has no noise from choosing. After the first bounce every surface counts as diffuse: this leaves out
//! caustics, whose noise no budget of a few samples could pay for.

use glam::Vec3;

use crate::bvh::Ray;
use crate::sampler::Sampler;
use crate::studio::{Studio, Surface};

/// What one camera ray sees, split so that the denoiser can treat each part as it deserves.
/// The pixel's colour is `emission + albedo * irradiance + reflection`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Light that needs no denoising: the backdrop.
    pub emission: Vec3,
    /// Share of the diffuse light that comes back to the camera.
    pub albedo: Vec3,
    /// Incoming diffuse light.
    pub irradiance: Vec3,
    /// Light that the coat or the metal reflects.
    pub reflection: Vec3,
    /// Shading normal, zero for the backdrop.
    pub normal: Vec3,
    /// Where the camera ray ended.
    pub position: Vec3,
    /// Distance along the camera ray, zero for the backdrop.
    pub distance: f32,
    /// How many rays it took.
    pub rays: u32,
}

/// Reflectance of glaze and varnish seen head-on (refractive index 1.5).
const COAT_REFLECTANCE: f32 = 0.04;
/// One path's indirect light is cut off here: less energy in a few bright spots, and no fireflies.
const BRIGHTEST_INDIRECT: f32 = 6.0;
/// No path is longer. By then roulette has ended it, unless the scene reflects everything.
const MOST_BOUNCES: u32 = 64;

/// Follows `ray` (of unit direction) from the camera.
#[must_use]
pub fn camera_sample(studio: &Studio, ray: &Ray, sampler: &mut Sampler) -> Sample {
    let mut rays = 1;
    let Some(surface) = studio.trace(ray) else {
        return Sample { emission: studio.sky.backdrop(ray.direction), rays, ..Sample::default() };
    };
    let fade = if surface.is_floor {
        studio.sky.fade(libm::hypotf(surface.position.x, surface.position.z))
    } else {
        0.0
    };
    let mut sample = Sample {
        emission: if fade > 0.0 { studio.sky.backdrop(ray.direction) * fade } else { Vec3::ZERO },
        normal: surface.normal,
        position: surface.position,
        distance: surface.t,
        ..Sample::default()
    };
    if fade >= 1.0 {
        return Sample { rays, ..sample };
    }
    let shown = 1.0 - fade;
    let facing = (-ray.direction).dot(surface.normal).max(0.0);
    let reflected = reflectance(&surface, facing);
    if reflected.max_element() > 0.0 {
        let (direction, weight) = reflect(&surface, ray.direction, sampler.next_2d());
        let mirror = Ray { origin: surface.offset(), direction };
        let light = path_radiance(studio, mirror, true, sampler, &mut rays);
        sample.reflection = reflected * light * (weight * shown);
    }
    if !surface.material.metal {
        sample.albedo = surface.colour * (Vec3::ONE - reflected) * shown;
        let direct = direct_light(studio, &surface, sampler, &mut rays);
        let bounce =
            Ray { origin: surface.offset(), direction: cosine_direction(surface.normal, sampler.next_2d()) };
        let indirect = if bounce.direction.dot(surface.flat_normal) > 0.0 {
            path_radiance(studio, bounce, false, sampler, &mut rays)
        } else {
            Vec3::ZERO
        };
        sample.irradiance = direct + indirect;
    }
    sample.rays = rays;
    sample
}

/// Radiance along `ray` by a diffuse path. `sees_light`: this is a
/// reflection, which shows the softbox itself because nobody sampled it.
fn path_radiance(studio: &Studio, ray: Ray, sees_light: bool, sampler: &mut Sampler, rays: &mut u32) -> Vec3 {
    let mut ray = ray;
    let mut throughput = Vec3::ONE;
    let mut radiance = Vec3::ZERO;
    for bounce in 0..MOST_BOUNCES {
        *rays += 1;
        let surface = studio.trace(&ray);
        if bounce == 0
            && sees_light
            && let Some(t) = studio.light.hit(&ray)
            && surface.as_ref().is_none_or(|surface| t < surface.t)
        {
            return studio.light.radiance;
        }
        let Some(surface) = surface else {
            let reflected = bounce == 0 && sees_light;
            let sky = &studio.sky;
            radiance += throughput
                * if reflected { sky.reflected(ray.direction) } else { sky.radiance(ray.direction) };
            break;
        };
        throughput *= surface.colour;
        radiance += throughput * direct_light(studio, &surface, sampler, rays);
        let survival = throughput.max_element().min(1.0);
        if sampler.next_2d().0 >= survival {
            break;
        }
        throughput /= survival;
        let direction = cosine_direction(surface.normal, sampler.next_2d());
        if direction.dot(surface.flat_normal) <= 0.0 {
            break;
        }
        ray = Ray { origin: surface.offset(), direction };
    }
    radiance.min(Vec3::splat(BRIGHTEST_INDIRECT))
}

/// Irradiance from the softbox, divided by π: times the albedo it is radiance.
fn direct_light(studio: &Studio, surface: &Surface<'_>, sampler: &mut Sampler, rays: &mut u32) -> Vec3 {
    let point = studio.light.point(sampler.next_2d());
    let to_light = point - surface.position;
    let distance_squared = to_light.length_squared();
    let direction = to_light / distance_squared.sqrt();
    let facing = surface.normal.dot(direction);
    let shining = -studio.light.area_normal().dot(direction);
    if facing <= 0.0 || shining <= 0.0 || surface.flat_normal.dot(direction) <= 0.0 {
        return Vec3::ZERO;
    }
    *rays += 1;
    let shadow = Ray { origin: surface.offset(), direction: to_light };
    if studio.bvh.is_blocked(&shadow, 1.0) {
        return Vec3::ZERO;
    }
    studio.light.radiance * (facing * shining / (std::f32::consts::PI * distance_squared))
}

/// Share of light that the surface reflects like a mirror, seen at `facing` = cos of the angle to the normal.
/// C. Schlick's approximation of Fresnel's formula (1994).
fn reflectance(surface: &Surface<'_>, facing: f32) -> Vec3 {
    let away = 1.0 - facing;
    let grazing = away * away * away * away * away;
    let material = surface.material;
    if material.metal {
        surface.colour + (Vec3::ONE - surface.colour) * grazing
    } else if material.coat > 0.0 {
        Vec3::splat(material.coat * (COAT_REFLECTANCE + (1.0 - COAT_REFLECTANCE) * grazing))
    } else {
        Vec3::ZERO
    }
}

/// Draws a reflected direction and its weight. Microfacets after GGX, drawn as J. Dupuy and A. Benyoub do
/// ("Sampling visible GGX normals with spherical caps", 2023); the weight is Smith's masking of the way out.
fn reflect(surface: &Surface<'_>, incoming: Vec3, sample: (f32, f32)) -> (Vec3, f32) {
    let alpha = surface.material.roughness * surface.material.roughness;
    let (tangent, bitangent) = basis(surface.normal);
    let normal = surface.normal;
    let view = -incoming;
    let local = Vec3::new(view.dot(tangent), view.dot(bitangent), view.dot(normal).max(1e-4));
    let stretched = Vec3::new(local.x * alpha, local.y * alpha, local.z).normalize();
    let (sin_phi, cos_phi) = libm::sincosf(std::f32::consts::TAU * sample.0);
    let z = (1.0 - sample.1) * (1.0 + stretched.z) - stretched.z;
    let sin_theta = (1.0 - z * z).max(0.0).sqrt();
    let half = Vec3::new(sin_theta * cos_phi, sin_theta * sin_phi, z) + stretched;
    // With no roughness at all this is the normal itself.
    let facet = Vec3::new(half.x * alpha, half.y * alpha, half.z.max(1e-6)).normalize();
    let out = facet * (2.0 * local.dot(facet)) - local;
    let mut direction = (tangent * out.x + bitangent * out.y + normal * out.z).normalize();
    let rise = direction.dot(surface.flat_normal);
    if out.z <= 0.0 || rise <= 0.0 {
        // The facet sends the light into its neighbours, which send it on: upwards in the end.
        direction -= surface.flat_normal * (2.0 * rise.min(0.0));
        return (direction, 1.0);
    }
    let slope = alpha * alpha * (1.0 - out.z * out.z) / (out.z * out.z);
    (direction, 2.0 / (1.0 + (1.0 + slope).sqrt()))
}

/// A direction around `normal` with density cos/π: a point of the unit sphere on top of the normal.
fn cosine_direction(normal: Vec3, (u, v): (f32, f32)) -> Vec3 {
    let z = 1.0 - 2.0 * u;
    let radius = (1.0 - z * z).max(0.0).sqrt();
    let (sin, cos) = libm::sincosf(std::f32::consts::TAU * v);
    (normal + Vec3::new(radius * cos, radius * sin, z)).try_normalize().unwrap_or(normal)
}

/// Two vectors that complete `normal` to a right-handed frame. T. Duff et al., "Building an orthonormal basis,
/// revisited" (2017).
fn basis(normal: Vec3) -> (Vec3, Vec3) {
    let sign = 1.0f32.copysign(normal.z);
    let a = -1.0 / (sign + normal.z);
    let b = normal.x * normal.y * a;
    (
        Vec3::new(1.0 + sign * normal.x * normal.x * a, sign * b, -sign * normal.x),
        Vec3::new(b, sign + normal.y * normal.y * a, -normal.y),
    )
}

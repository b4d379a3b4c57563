//! The place where the mesh is photographed: a turntable, a floor without end, a softbox and a sky.

use glam::Vec3;

use crate::bvh::{Bvh, FAR, Hit, Ray};
use crate::obj::{Corner, Material, Mesh};

/// Everything that light can meet. The mesh stands on the floor (y = 0), turned about the y axis, scaled to fit
/// into a cylinder of radius 1 and height 1.5, whichever it fills first.
pub struct Studio {
    /// The tree over the mesh.
    pub bvh: Bvh,
    corners: Vec<[Corner; 3]>,
    triangle_materials: Vec<u16>,
    materials: Vec<Material>,
    /// Height of the mesh as it stands here.
    pub height: f32,
    /// The floor's material.
    pub floor: Material,
    /// The softbox.
    pub light: Softbox,
    /// The light from everywhere else.
    pub sky: Sky,
}

/// A rectangle that shines on one side, evenly.
pub struct Softbox {
    /// Its middle.
    pub centre: Vec3,
    /// From the middle to the middle of one side.
    pub half_u: Vec3,
    /// From the middle to the middle of the next side, at a right angle.
    pub half_v: Vec3,
    /// Radiance, linear RGB.
    pub radiance: Vec3,
}

/// Light that comes from far away.
pub enum Sky {
    /// The studio's own: cool above, warm at the horizon, with cards that show in reflections only.
    Studio,
    /// The same from everywhere, floor and horizon included: for tests of energy conservation.
    Even(f32),
}

/// Where a ray ended.
pub struct Surface<'a> {
    /// The point.
    pub position: Vec3,
    /// The side of the plane that the ray came from.
    pub flat_normal: Vec3,
    /// The shading normal, on the same side.
    pub normal: Vec3,
    /// The material's colour with the mesh's own tint.
    pub colour: Vec3,
    /// What it is made of.
    pub material: &'a Material,
    /// Distance along the ray.
    pub t: f32,
    /// True for the floor, false for the mesh.
    pub is_floor: bool,
}

impl Studio {
    /// Puts `mesh` on the turntable, turned by `turn` (1 is once round).
    #[must_use]
    pub fn new(mesh: &Mesh, turn: f32) -> Self {
        let points =
            || mesh.triangles.iter().flat_map(|triangle| triangle.corners).map(|corner| corner.position);
        let low = points().fold(Vec3::INFINITY, Vec3::min);
        let high = points().fold(Vec3::NEG_INFINITY, Vec3::max);
        let axis = Vec3::new((low.x + high.x) * 0.5, low.y, (low.z + high.z) * 0.5);
        let radius = points().map(|p| libm::hypotf(p.x - axis.x, p.z - axis.z)).fold(0.0, f32::max);
        let scale = 1.0 / radius.max((high.y - low.y) / 1.5);
        let (sin, cos) = libm::sincosf(turn * std::f32::consts::TAU);
        let rotate = |v: Vec3| Vec3::new(v.x * cos + v.z * sin, v.y, v.z * cos - v.x * sin);
        let corners: Vec<[Corner; 3]> = mesh
            .triangles
            .iter()
            .map(|triangle| {
                triangle.corners.map(|corner| Corner {
                    position: rotate((corner.position - axis) * scale),
                    normal: rotate(corner.normal),
                    tint: corner.tint,
                })
            })
            .collect();
        let positions: Vec<[Vec3; 3]> =
            corners.iter().map(|corners| corners.map(|corner| corner.position)).collect();
        Self {
            bvh: Bvh::build(&positions),
            corners,
            triangle_materials: mesh.triangles.iter().map(|triangle| triangle.material).collect(),
            materials: mesh.materials.clone(),
            height: (high.y - low.y) * scale,
            floor: Material {
                colour: Vec3::new(0.52, 0.39, 0.285),
                roughness: 0.25,
                metal: false,
                coat: 0.0,
            },
            light: Softbox::key_light(),
            sky: Sky::Studio,
        }
    }

    /// The first surface on the ray.
    #[must_use]
    pub fn trace(&self, ray: &Ray) -> Option<Surface<'_>> {
        let floor_t = if ray.direction.y < 0.0 { -ray.origin.y / ray.direction.y } else { FAR };
        let floor_t = if floor_t > 0.0 { floor_t } else { FAR };
        match self.bvh.nearest(ray, floor_t) {
            Some(hit) => Some(self.mesh_surface(ray, &hit)),
            None if floor_t < FAR => Some(Surface {
                position: {
                    let p = ray.origin + ray.direction * floor_t;
                    Vec3::new(p.x, 0.0, p.z)
                },
                flat_normal: Vec3::Y,
                normal: Vec3::Y,
                colour: self.floor.colour,
                material: &self.floor,
                t: floor_t,
                is_floor: true,
            }),
            None => None,
        }
    }

    fn mesh_surface(&self, ray: &Ray, hit: &Hit) -> Surface<'_> {
        let index = hit.triangle as usize;
        let [a, b, c] = &self.corners[index];
        let w = 1.0 - hit.u - hit.v;
        let mix = |a: Vec3, b: Vec3, c: Vec3| a * w + b * hit.u + c * hit.v;
        let flat = (b.position - a.position).cross(c.position - a.position).normalize_or(Vec3::Y);
        let flat_normal = if flat.dot(ray.direction) > 0.0 { -flat } else { flat };
        let smooth = mix(a.normal, b.normal, c.normal).normalize_or(flat_normal);
        let normal = if smooth.dot(flat_normal) < 0.0 { -smooth } else { smooth };
        let material = &self.materials[usize::from(self.triangle_materials[index])];
        Surface {
            position: mix(a.position, b.position, c.position),
            flat_normal,
            normal,
            colour: (material.colour * mix(a.tint, b.tint, c.tint)).clamp(Vec3::ZERO, Vec3::ONE),
            material,
            t: hit.t,
            is_floor: false,
        }
    }
}

impl Surface<'_> {
    /// A start for a ray that leaves the surface without hitting it again.
    #[must_use]
    pub fn offset(&self) -> Vec3 {
        self.position + self.flat_normal * 2e-4
    }
}

impl Softbox {
    fn key_light() -> Self {
        let centre = Vec3::new(-2.6, 3.6, 1.9);
        let towards = (Vec3::new(0.0, 0.3, 0.0) - centre).normalize();
        let side = towards.cross(Vec3::Y).normalize();
        Self {
            centre,
            half_u: side * 1.0,
            half_v: side.cross(towards) * 1.3,
            radiance: Vec3::new(1.0, 0.92, 0.80) * 17.0,
        }
    }

    /// The point at (`u`, `v`) of the unit square.
    #[must_use]
    pub fn point(&self, (u, v): (f32, f32)) -> Vec3 {
        self.centre + self.half_u * (2.0 * u - 1.0) + self.half_v * (2.0 * v - 1.0)
    }

    /// Points where the light shines; its length is the area.
    #[must_use]
    pub fn area_normal(&self) -> Vec3 {
        self.half_v.cross(self.half_u) * 4.0
    }

    /// Distance at which `ray` meets the shining side.
    #[must_use]
    pub fn hit(&self, ray: &Ray) -> Option<f32> {
        let normal = self.area_normal();
        let facing = normal.dot(ray.direction);
        if facing >= 0.0 {
            return None;
        }
        let t = normal.dot(self.centre - ray.origin) / facing;
        let offset = ray.origin + ray.direction * t - self.centre;
        let inside = offset.dot(self.half_u).abs() <= self.half_u.length_squared()
            && offset.dot(self.half_v).abs() <= self.half_v.length_squared();
        (t > 0.0 && inside).then_some(t)
    }
}

impl Sky {
    /// Radiance from the direction of the unit vector `direction`.
    #[must_use]
    pub fn radiance(&self, direction: Vec3) -> Vec3 {
        match self {
            Self::Even(radiance) => Vec3::splat(*radiance),
            Self::Studio => {
                let up = direction.y.clamp(0.0, 1.0);
                Vec3::new(0.50, 0.40, 0.32).lerp(Vec3::new(0.34, 0.40, 0.50), up.sqrt()) * 0.62
            }
        }
    }

    /// What a coat or a metal reflects: the sky and two bright cards. They are for the eye alone; as light on
    /// diffuse surfaces they would bring more noise than shape.
    #[must_use]
    pub fn reflected(&self, direction: Vec3) -> Vec3 {
        match self {
            Self::Even(_) => self.radiance(direction),
            Self::Studio => {
                let side = smoothstep(0.86, 0.93, direction.dot(Vec3::new(0.80, 0.42, 0.42).normalize()));
                let back = smoothstep(0.90, 0.99, direction.dot(Vec3::new(-0.25, 0.75, -0.61).normalize()));
                let cards =
                    Vec3::new(0.85, 0.95, 1.0) * (1.6 * side) + Vec3::new(1.0, 0.92, 0.80) * (1.8 * back);
                self.radiance(direction) + cards
            }
        }
    }

    /// What the camera sees where there is nothing.
    #[must_use]
    pub fn backdrop(&self, direction: Vec3) -> Vec3 {
        match self {
            Self::Even(radiance) => Vec3::splat(*radiance),
            Self::Studio => {
                let up = smoothstep(-0.46, -0.04, direction.y);
                Vec3::new(0.40, 0.28, 0.19).lerp(Vec3::new(0.04, 0.035, 0.035), up)
            }
        }
    }

    /// How much of the floor at `distance` from the turntable has faded into the backdrop.
    #[must_use]
    pub fn fade(&self, distance: f32) -> f32 {
        match self {
            Self::Even(_) => 0.0,
            Self::Studio => smoothstep(1.6, 5.5, distance),
        }
    }
}

fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

//! A bounding volume hierarchy with four children a node and four triangles a leaf, tested four at a time.
//!
//! Built as a binary tree with the surface area heuristic over bins (I. Wald, "On fast construction of SAH-based
//! bounding volume hierarchies", 2007), then folded two levels into one.

use glam::Vec3;
use wide::f32x4;

/// A half line. `direction` need not have length 1; distances are in its lengths.
#[derive(Debug, Clone, Copy)]
pub struct Ray {
    /// Where it starts.
    pub origin: Vec3,
    /// Where it goes.
    pub direction: Vec3,
}

/// Where a ray meets a triangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Distance along the ray.
    pub t: f32,
    /// Index of the triangle.
    pub triangle: u32,
    /// Barycentric weight of the triangle's second corner.
    pub u: f32,
    /// Barycentric weight of the triangle's third corner.
    pub v: f32,
}

/// The tree over a set of triangles.
pub struct Bvh {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

/// Bounds of four children, by axis; `children` says where they are.
struct Node {
    min: [f32x4; 3],
    max: [f32x4; 3],
    children: [u32; 4],
}

/// Four triangles as first corner and two edges, by axis. An unused lane has edges of length 0: nothing hits it.
struct Leaf {
    corner: [f32x4; 3],
    edge1: [f32x4; 3],
    edge2: [f32x4; 3],
    triangles: [u32; 4],
}

/// Set in a child's number when it is a leaf.
const LEAF: u32 = 1 << 31;
const LEAF_TRIANGLES: usize = 4;
const BINS: usize = 16;
/// Below this depth splits are by count alone, which bounds the depth: 16 + log2(`MAX_TRIANGLES`) < 40.
const SAH_DEPTH: u32 = 16;
/// Distances beyond this are misses.
pub const FAR: f32 = 1e20;
/// Each level leaves at most 3 siblings behind.
const STACK: usize = 128;
/// A leaf test costs about as much as this many box tests.
const TRIANGLE_COST: f32 = 1.5;

#[derive(Clone, Copy)]
struct Bounds {
    min: Vec3,
    max: Vec3,
}

impl Bounds {
    const EMPTY: Self = Self { min: Vec3::INFINITY, max: Vec3::NEG_INFINITY };
    /// A point farther away than any ray's limit: the place of a child that is not there.
    const NOWHERE: Self = Self { min: Vec3::splat(1e30), max: Vec3::splat(1e30) };

    fn grown(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    fn half_area(self) -> f32 {
        let size = (self.max - self.min).max(Vec3::ZERO);
        size.x * size.y + size.y * size.z + size.z * size.x
    }
}

/// What the builder knows of one triangle.
struct Item {
    bounds: Bounds,
    centre: Vec3,
    triangle: u32,
}

enum Binary {
    Leaf { bounds: Bounds, triangles: Vec<u32> },
    Inner { bounds: Bounds, children: Box<[Binary; 2]> },
}

impl Binary {
    fn bounds(&self) -> Bounds {
        match self {
            Self::Leaf { bounds, .. } | Self::Inner { bounds, .. } => *bounds,
        }
    }
}

impl Bvh {
    /// Builds the tree. Hits name triangles by their place in `triangles`.
    #[must_use]
    pub fn build(triangles: &[[Vec3; 3]]) -> Self {
        let mut items: Vec<Item> = (0u32..)
            .zip(triangles)
            .map(|(triangle, [a, b, c])| {
                let bounds = Bounds { min: a.min(*b).min(*c), max: a.max(*b).max(*c) };
                Item { bounds, centre: (bounds.min + bounds.max) * 0.5, triangle }
            })
            .collect();
        let mut bvh = Self { nodes: Vec::new(), leaves: Vec::new() };
        let root = build_binary(&mut items, 0);
        match &root {
            Binary::Leaf { .. } => {
                let slots = [Some(&root), None, None, None];
                bvh.push_node(slots, triangles);
            }
            Binary::Inner { children, .. } => {
                bvh.fold(children, triangles);
            }
        }
        bvh
    }

    /// Turns two binary children into up to four by opening the largest inner ones. Returns the node's number.
    fn fold(&mut self, children: &[Binary; 2], triangles: &[[Vec3; 3]]) -> u32 {
        let mut slots = [Some(&children[0]), Some(&children[1]), None, None];
        for free in 2..4 {
            let mut largest: Option<(usize, f32, &[Binary; 2])> = None;
            for (slot, child) in slots.iter().enumerate() {
                if let Some(Binary::Inner { bounds, children }) = child
                    && largest.is_none_or(|(_, area, _)| bounds.half_area() > area)
                {
                    largest = Some((slot, bounds.half_area(), children));
                }
            }
            let Some((slot, _, opened)) = largest else { break };
            slots[slot] = Some(&opened[0]);
            slots[free] = Some(&opened[1]);
        }
        self.push_node(slots, triangles)
    }

    fn push_node(&mut self, slots: [Option<&Binary>; 4], triangles: &[[Vec3; 3]]) -> u32 {
        let bounds = slots.map(|slot| slot.map_or(Bounds::NOWHERE, Binary::bounds));
        let number = self.nodes.len() as u32;
        self.nodes.push(Node {
            min: by_axis(bounds.map(|b| b.min)),
            max: by_axis(bounds.map(|b| b.max)),
            children: [0; 4],
        });
        let children = slots.map(|slot| match slot {
            Some(Binary::Inner { children, .. }) => self.fold(children, triangles),
            Some(Binary::Leaf { triangles: members, .. }) => self.push_leaf(members, triangles),
            // Never entered: its bounds are out of reach.
            None => LEAF,
        });
        self.nodes[number as usize].children = children;
        number
    }

    fn push_leaf(&mut self, members: &[u32], triangles: &[[Vec3; 3]]) -> u32 {
        let mut corners = [[Vec3::ZERO; 3]; 4];
        let mut numbers = [0; 4];
        for (lane, &member) in members.iter().enumerate() {
            corners[lane] = triangles[member as usize];
            numbers[lane] = member;
        }
        self.leaves.push(Leaf {
            corner: by_axis(corners.map(|c| c[0])),
            edge1: by_axis(corners.map(|c| c[1] - c[0])),
            edge2: by_axis(corners.map(|c| c[2] - c[0])),
            triangles: numbers,
        });
        (self.leaves.len() as u32 - 1) | LEAF
    }

    /// The nearest hit closer than `t_max`, if any.
    #[must_use]
    pub fn nearest(&self, ray: &Ray, t_max: f32) -> Option<Hit> {
        let lanes = RayLanes::new(ray);
        let mut best: Option<Hit> = None;
        let mut limit = t_max;
        let mut stack = [(0u32, 0.0f32); STACK];
        let mut height = 1;
        while height > 0 {
            height -= 1;
            let (reference, entry) = stack[height];
            if entry >= limit {
                continue;
            }
            if reference & LEAF != 0 {
                if let Some(hit) = self.leaves[(reference & !LEAF) as usize].nearest(&lanes, limit) {
                    limit = hit.t;
                    best = Some(hit);
                }
                continue;
            }
            let node = &self.nodes[reference as usize];
            let (mask, entries) = node.enter(&lanes, limit);
            let bottom = height;
            let mut left = mask;
            while left != 0 {
                let lane = left.trailing_zeros() as usize;
                left &= left - 1;
                // Insertion keeps the nearest child on top, so that it is searched first and shortens the ray.
                let mut slot = height;
                while slot > bottom && stack[slot - 1].1 < entries[lane] {
                    stack[slot] = stack[slot - 1];
                    slot -= 1;
                }
                stack[slot] = (node.children[lane], entries[lane]);
                height += 1;
            }
        }
        best
    }

    /// Whether anything lies on the ray closer than `t_max`.
    #[must_use]
    pub fn is_blocked(&self, ray: &Ray, t_max: f32) -> bool {
        let lanes = RayLanes::new(ray);
        let mut stack = [0u32; STACK];
        let mut height = 1;
        while height > 0 {
            height -= 1;
            let reference = stack[height];
            if reference & LEAF != 0 {
                if self.leaves[(reference & !LEAF) as usize].intersect(&lanes, t_max).3 != 0 {
                    return true;
                }
                continue;
            }
            let node = &self.nodes[reference as usize];
            let (mut left, _) = node.enter(&lanes, t_max);
            while left != 0 {
                let lane = left.trailing_zeros() as usize;
                left &= left - 1;
                stack[height] = node.children[lane];
                height += 1;
            }
        }
        false
    }
}

/// A ray with each number copied to four lanes.
struct RayLanes {
    origin: [f32x4; 3],
    direction: [f32x4; 3],
    inverse: [f32x4; 3],
    /// Origin × inverse, so that a slab test is one multiplication and one subtraction.
    scaled_origin: [f32x4; 3],
}

impl RayLanes {
    fn new(ray: &Ray) -> Self {
        // A direction of exactly 0 would make 0 × ∞ in the slab test.
        let inverse = ray.direction.to_array().map(|d| 1.0 / if d.abs() < 1e-9 { 1e-9 } else { d });
        let origin = ray.origin.to_array();
        Self {
            origin: origin.map(f32x4::splat),
            direction: ray.direction.to_array().map(f32x4::splat),
            inverse: inverse.map(f32x4::splat),
            scaled_origin: std::array::from_fn(|axis| f32x4::splat(origin[axis] * inverse[axis])),
        }
    }
}

impl Node {
    /// Which children the ray enters before `limit` (a bit each), and where.
    fn enter(&self, ray: &RayLanes, limit: f32) -> (u32, [f32; 4]) {
        let mut near = f32x4::ZERO;
        let mut far = f32x4::splat(limit);
        for axis in 0..3 {
            let low = self.min[axis] * ray.inverse[axis] - ray.scaled_origin[axis];
            let high = self.max[axis] * ray.inverse[axis] - ray.scaled_origin[axis];
            near = near.fast_max(low.fast_min(high));
            far = far.fast_min(low.fast_max(high));
        }
        // A hair of slack: rounding must not open a gap between two boxes that touch.
        (near.simd_le(far * f32x4::splat(1.000_001)).to_bitmask(), near.to_array())
    }
}

impl Leaf {
    /// Distance and barycentric coordinates for each lane, and a bit for each lane that is hit in 0..`limit`.
    /// T. Möller and B. Trumbore, "Fast, minimum storage ray/triangle intersection" (1997).
    fn intersect(&self, ray: &RayLanes, limit: f32) -> (f32x4, f32x4, f32x4, u32) {
        let p = cross(&ray.direction, &self.edge2);
        let determinant = dot(&self.edge1, &p);
        let inverse = f32x4::ONE / determinant;
        let to_origin: [f32x4; 3] = std::array::from_fn(|axis| ray.origin[axis] - self.corner[axis]);
        let u = dot(&to_origin, &p) * inverse;
        let q = cross(&to_origin, &self.edge1);
        let v = dot(&ray.direction, &q) * inverse;
        let t = dot(&self.edge2, &q) * inverse;
        let inside = determinant.abs().simd_gt(f32x4::splat(1e-20))
            & u.simd_ge(f32x4::ZERO)
            & v.simd_ge(f32x4::ZERO)
            & (u + v).simd_le(f32x4::ONE)
            & t.simd_gt(f32x4::ZERO)
            & t.simd_lt(f32x4::splat(limit));
        (t, u, v, inside.to_bitmask())
    }

    fn nearest(&self, ray: &RayLanes, limit: f32) -> Option<Hit> {
        let (t, u, v, mut left) = self.intersect(ray, limit);
        if left == 0 {
            return None;
        }
        let (t, u, v) = (t.to_array(), u.to_array(), v.to_array());
        let mut best: Option<Hit> = None;
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            if best.is_none_or(|hit| t[lane] < hit.t) {
                best = Some(Hit { t: t[lane], triangle: self.triangles[lane], u: u[lane], v: v[lane] });
            }
        }
        best
    }
}

fn by_axis(lanes: [Vec3; 4]) -> [f32x4; 3] {
    [f32x4::from(lanes.map(|v| v.x)), f32x4::from(lanes.map(|v| v.y)), f32x4::from(lanes.map(|v| v.z))]
}

fn cross(a: &[f32x4; 3], b: &[f32x4; 3]) -> [f32x4; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: &[f32x4; 3], b: &[f32x4; 3]) -> f32x4 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn build_binary(items: &mut [Item], depth: u32) -> Binary {
    let bounds = items.iter().fold(Bounds::EMPTY, |all, item| all.grown(item.bounds));
    if items.len() <= LEAF_TRIANGLES {
        return Binary::Leaf { bounds, triangles: items.iter().map(|item| item.triangle).collect() };
    }
    let middle = if depth < SAH_DEPTH { split_by_area(items) } else { None };
    let middle = middle.unwrap_or_else(|| split_by_count(items));
    let (left, right) = items.split_at_mut(middle);
    Binary::Inner {
        bounds,
        children: Box::new([build_binary(left, depth + 1), build_binary(right, depth + 1)]),
    }
}

fn centre_bounds(items: &[Item]) -> Bounds {
    items.iter().fold(Bounds::EMPTY, |all, item| all.grown(Bounds { min: item.centre, max: item.centre }))
}

/// Sorts by centre along the longest axis and cuts in the middle.
fn split_by_count(items: &mut [Item]) -> usize {
    let bounds = centre_bounds(items);
    let size = bounds.max - bounds.min;
    let axis = if size.x >= size.y && size.x >= size.z { 0 } else { usize::from(size.z > size.y) + 1 };
    items.sort_by(|a, b| a.centre[axis].total_cmp(&b.centre[axis]).then(a.triangle.cmp(&b.triangle)));
    items.len() / 2
}

/// Cuts where area × count, summed over both sides, is least. `None` when all centres coincide.
fn split_by_area(items: &mut [Item]) -> Option<usize> {
    let bounds = centre_bounds(items);
    let size = bounds.max - bounds.min;
    let mut best: Option<(f32, usize, usize)> = None;
    for axis in 0..3 {
        if size[axis] <= 0.0 {
            continue;
        }
        let scale = BINS as f32 / size[axis];
        let mut bins = [(Bounds::EMPTY, 0usize); BINS];
        for item in items.iter() {
            let bin = &mut bins[bin_of(item, axis, bounds.min[axis], scale)];
            *bin = (bin.0.grown(item.bounds), bin.1 + 1);
        }
        // `right[i]` is the cost of bins i.. as one node.
        let mut right = [0.0; BINS];
        let mut sum = (Bounds::EMPTY, 0);
        for (index, bin) in bins.iter().enumerate().rev() {
            sum = (sum.0.grown(bin.0), sum.1 + bin.1);
            right[index] = node_cost(sum);
        }
        let mut left = (Bounds::EMPTY, 0);
        for cut in 1..BINS {
            left = (left.0.grown(bins[cut - 1].0), left.1 + bins[cut - 1].1);
            if left.1 == 0 || left.1 == items.len() {
                continue;
            }
            let cost = node_cost(left) + right[cut];
            if best.is_none_or(|(least, _, _)| cost < least) {
                best = Some((cost, axis, cut));
            }
        }
    }
    let (_, axis, cut) = best?;
    let scale = BINS as f32 / size[axis];
    // Stable, so that the tree depends on the mesh alone.
    items.sort_by_key(|item| bin_of(item, axis, bounds.min[axis], scale) >= cut);
    Some(items.partition_point(|item| bin_of(item, axis, bounds.min[axis], scale) < cut))
}

fn bin_of(item: &Item, axis: usize, min: f32, scale: f32) -> usize {
    (((item.centre[axis] - min) * scale) as usize).min(BINS - 1)
}

fn node_cost((bounds, count): (Bounds, usize)) -> f32 {
    // Leaves are tested four triangles at a time.
    bounds.half_area() * TRIANGLE_COST * count.div_ceil(LEAF_TRIANGLES) as f32
}

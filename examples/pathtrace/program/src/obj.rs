//! Wavefront OBJ and MTL: the parts that a still mesh needs.
//!
//! OBJ: `v` (with the common `x y z r g b` colour extension), `vn`, `f` (polygons, negative indices), `s` smoothing
//! groups, `usemtl`, `mtllib`; names, groups and texture coordinates are read over. MTL: `newmtl`, `Kd` and the
//! physically based extension `Pr` (roughness), `Pm` (metallic), `Pc` (clear coat). Anything else is an error with
//! its line, because a statement that is silently skipped is a picture that is silently wrong.

use std::collections::BTreeMap;

use glam::Vec3;

/// What a surface is made of. All numbers lie in 0..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// Diffuse reflectance, or the tint of the reflection where the surface is metal. Linear RGB.
    pub colour: Vec3,
    /// Roughness of the reflection: 0 is a mirror.
    pub roughness: f32,
    /// A metal has a tinted reflection and no diffuse part.
    pub metal: bool,
    /// Strength of a clear, colourless coat (glaze, varnish) over a diffuse base.
    pub coat: f32,
}

impl Default for Material {
    /// Glazed white clay, for a mesh that names no material.
    fn default() -> Self {
        Self { colour: Vec3::splat(0.75), roughness: 0.08, metal: false, coat: 1.0 }
    }
}

/// One corner of a triangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    /// Where the corner is.
    pub position: Vec3,
    /// Unit shading normal.
    pub normal: Vec3,
    /// Multiplies the material's colour.
    pub tint: Vec3,
}

/// One triangle of a mesh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triangle {
    /// Its corners, counter-clockwise seen from outside.
    pub corners: [Corner; 3],
    /// Index into [`Mesh::materials`].
    pub material: u16,
}

/// A mesh as the renderer wants it. There is at least one triangle.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// The triangles, in file order. Triangles without area are left out: they can be neither hit nor lit.
    pub triangles: Vec<Triangle>,
    /// Materials by index.
    pub materials: Vec<Material>,
}

/// What is wrong with a mesh or a material file.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParseError {
    /// A statement that cannot be understood or points outside of the file.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file as the caller named it.
        file: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong, with the word that is.
        problem: String,
    },
    /// The file holds nothing to render.
    #[error("{file}: no face with an area in it; a mesh needs `v` and `f` statements")]
    NoFaces {
        /// The file as the caller named it.
        file: String,
    },
    /// The library that `mtllib` names could not be read.
    #[error(
        "{file}:{line}: material library `{library}`: {source_text}; list it among the job's input files"
    )]
    Library {
        /// The OBJ file.
        file: String,
        /// Line of the `mtllib` statement, from 1.
        line: usize,
        /// The library as written.
        library: String,
        /// What the system said.
        source_text: String,
    },
}

/// The most triangles that a mesh may have; it bounds memory and the depth of the tree.
pub const MAX_TRIANGLES: usize = 4_000_000;

/// Larger coordinates would overflow in products.
const LARGEST_NUMBER: f32 = 1e9;

/// One corner of a face as the file has it: indices from 0.
#[derive(Clone, Copy)]
struct RawCorner {
    position: usize,
    normal: Option<usize>,
}

struct RawTriangle {
    corners: [RawCorner; 3],
    smoothing: u32,
    material: u16,
}

/// A cursor over the statements of a file that turns problems into [`ParseError::Line`].
struct Lines<'a> {
    file: &'a str,
    number: usize,
}

impl Lines<'_> {
    fn error(&self, problem: impl Into<String>) -> ParseError {
        ParseError::Line { file: self.file.to_owned(), line: self.number, problem: problem.into() }
    }

    fn numbers<const N: usize>(&self, words: &[&str]) -> Result<[f32; N], ParseError> {
        if words.len() < N {
            return Err(self.error(format!("expected {N} numbers, found {}", words.len())));
        }
        let mut numbers = [0.0; N];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = match word.parse::<f32>() {
                Ok(value) if value.abs() <= LARGEST_NUMBER => value,
                Ok(_) => return Err(self.error(format!("`{word}` is not between -1e9 and 1e9"))),
                Err(_) => return Err(self.error(format!("`{word}` is not a number"))),
            };
        }
        Ok(numbers)
    }

    fn fraction(&self, words: &[&str]) -> Result<f32, ParseError> {
        let [value] = self.numbers::<1>(words)?;
        if !(0.0..=1.0).contains(&value) {
            return Err(self.error(format!("`{value}` must lie between 0 and 1")));
        }
        Ok(value)
    }

    /// OBJ counts from 1, and from the end with negative numbers.
    fn index(&self, word: &str, what: &str, count: usize) -> Result<usize, ParseError> {
        let number: i64 = word.parse().map_err(|_| self.error(format!("`{word}` is not a {what} index")))?;
        let count_i = i64::try_from(count).map_err(|_| self.error("too many elements"))?;
        let index = if number > 0 { number.checked_sub(1) } else { number.checked_add(count_i) };
        match index.and_then(|index| usize::try_from(index).ok()) {
            Some(index) if number != 0 && index < count => Ok(index),
            _ => Err(self.error(format!("{what} {number} does not exist: {count} are defined so far"))),
        }
    }
}

#[derive(Default)]
struct ObjReader {
    positions: Vec<Vec3>,
    tints: Vec<Vec3>,
    normals: Vec<Vec3>,
    triangles: Vec<RawTriangle>,
    materials: Vec<Material>,
    names: BTreeMap<String, u16>,
    material: u16,
    smoothing: u32,
}

/// Parses an OBJ text. `file` names it in errors; `library` reads the material libraries that the text names.
///
/// # Errors
/// The first statement that is wrong, with its line.
pub fn parse_obj(
    file: &str,
    text: &str,
    library: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<Mesh, ParseError> {
    let mut reader = ObjReader { materials: vec![Material::default()], ..ObjReader::default() };
    let mut words = Vec::with_capacity(8);
    for (index, line) in text.lines().enumerate() {
        let at = Lines { file, number: index + 1 };
        words.clear();
        words.extend(line.split('#').next().unwrap_or_default().split_ascii_whitespace());
        if let Some((&keyword, rest)) = words.split_first() {
            reader.statement(&at, keyword, rest, library)?;
        }
    }
    let triangles = reader.finish();
    if triangles.is_empty() {
        return Err(ParseError::NoFaces { file: file.to_owned() });
    }
    Ok(Mesh { triangles, materials: reader.materials })
}

impl ObjReader {
    fn statement(
        &mut self,
        at: &Lines<'_>,
        keyword: &str,
        words: &[&str],
        library: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<(), ParseError> {
        match keyword {
            "v" => {
                self.positions.push(Vec3::from(at.numbers::<3>(words)?));
                let tint = if words.len() >= 6 { at.numbers::<3>(&words[3..])? } else { [1.0; 3] };
                self.tints.push(Vec3::from(tint));
            }
            "vn" => self.normals.push(Vec3::from(at.numbers::<3>(words)?)),
            "f" => self.face(at, words)?,
            "s" => {
                self.smoothing = match words {
                    ["off"] => 0,
                    [group] => {
                        group.parse().map_err(|_| at.error(format!("`{group}` is not a smoothing group")))?
                    }
                    _ => return Err(at.error("expected one smoothing group or `off`")),
                };
            }
            "usemtl" => {
                let name = words.join(" ");
                self.material = match self.names.get(&name) {
                    Some(&index) => index,
                    None => {
                        return Err(
                            at.error(format!("material `{name}` is not defined by any `mtllib` so far"))
                        );
                    }
                };
            }
            "mtllib" => {
                for &name in words {
                    self.read_library(at, name, library)?;
                }
            }
            "vt" | "o" | "g" => {}
            other => {
                return Err(at.error(format!("`{other}` is not an OBJ statement that this renderer knows")));
            }
        }
        Ok(())
    }

    fn read_library(
        &mut self,
        at: &Lines<'_>,
        name: &str,
        library: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<(), ParseError> {
        let text = library(name).map_err(|error| ParseError::Library {
            file: at.file.to_owned(),
            line: at.number,
            library: name.to_owned(),
            source_text: error.to_string(),
        })?;
        for (name, material) in parse_mtl(name, &text)? {
            let index =
                u16::try_from(self.materials.len()).map_err(|_| at.error("more than 65,535 materials"))?;
            self.materials.push(material);
            self.names.insert(name, index);
        }
        Ok(())
    }

    fn face(&mut self, at: &Lines<'_>, words: &[&str]) -> Result<(), ParseError> {
        if words.len() < 3 {
            return Err(at.error(format!("a face needs at least 3 corners, this one has {}", words.len())));
        }
        let first = self.corner(at, words[0])?;
        let mut previous = self.corner(at, words[1])?;
        // A fan: right for the convex polygons that modellers write.
        for word in &words[2..] {
            let corner = self.corner(at, word)?;
            if self.triangles.len() == MAX_TRIANGLES {
                return Err(at.error(format!("more than {MAX_TRIANGLES} triangles")));
            }
            let corners = [first, previous, corner];
            self.triangles.push(RawTriangle { corners, smoothing: self.smoothing, material: self.material });
            previous = corner;
        }
        Ok(())
    }

    fn corner(&self, at: &Lines<'_>, word: &str) -> Result<RawCorner, ParseError> {
        let mut parts = word.split('/');
        let position = at.index(parts.next().unwrap_or_default(), "vertex", self.positions.len())?;
        let _texture_coordinate = parts.next();
        let normal = parts.next().map(|word| at.index(word, "normal", self.normals.len())).transpose()?;
        Ok(RawCorner { position, normal })
    }

    /// Resolves indices, and gives corners without a normal one: the face's own, or inside of a smoothing group
    /// the area-weighted mean of the faces around.
    fn finish(&self) -> Vec<Triangle> {
        let mut smooth: BTreeMap<(u32, usize), Vec3> = BTreeMap::new();
        let mut kept = Vec::with_capacity(self.triangles.len());
        for raw in &self.triangles {
            let [a, b, c] = raw.corners.map(|corner| self.positions[corner.position]);
            let cross = (b - a).cross(c - a);
            if cross.length_squared() <= 0.0 || !cross.is_finite() {
                continue;
            }
            if raw.smoothing > 0 {
                for corner in raw.corners.iter().filter(|corner| corner.normal.is_none()) {
                    *smooth.entry((raw.smoothing, corner.position)).or_default() += cross;
                }
            }
            kept.push((raw, cross));
        }
        let corner = |raw: &RawTriangle, cross: Vec3, corner: RawCorner| {
            let normal = match corner.normal {
                Some(index) => self.normals[index],
                None => smooth.get(&(raw.smoothing, corner.position)).copied().unwrap_or(cross),
            };
            Corner {
                position: self.positions[corner.position],
                normal: normal.try_normalize().or(cross.try_normalize()).unwrap_or(Vec3::Y),
                tint: self.tints[corner.position],
            }
        };
        kept.into_iter()
            .map(|(raw, cross)| Triangle {
                corners: raw.corners.map(|raw_corner| corner(raw, cross, raw_corner)),
                material: raw.material,
            })
            .collect()
    }
}

/// Parses a material library. `file` names it in errors.
///
/// # Errors
/// The first statement that is wrong, with its line.
pub fn parse_mtl(file: &str, text: &str) -> Result<Vec<(String, Material)>, ParseError> {
    let mut materials: Vec<(String, Material)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = Lines { file, number: index + 1 };
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_ascii_whitespace().collect();
        let Some((&keyword, rest)) = words.split_first() else { continue };
        if keyword == "newmtl" {
            let matte = Material { coat: 0.0, roughness: 0.5, ..Material::default() };
            materials.push((rest.join(" "), matte));
            continue;
        }
        let Some((_, material)) = materials.last_mut() else {
            return Err(at.error(format!("`{keyword}` stands before the first `newmtl`")));
        };
        match keyword {
            "Kd" => {
                let colour = Vec3::from(at.numbers::<3>(rest)?);
                if colour.min_element() < 0.0 || colour.max_element() > 1.0 {
                    return Err(at.error("a colour's parts must lie between 0 and 1"));
                }
                material.colour = colour;
            }
            "Pr" => material.roughness = at.fraction(rest)?,
            "Pm" => material.metal = at.fraction(rest)? >= 0.5,
            "Pc" => material.coat = at.fraction(rest)?,
            // Older shading models that exporters write beside the physical one.
            "Ka" | "Ks" | "Ke" | "Ns" | "Ni" | "d" | "Tr" | "illum" => {}
            other => {
                return Err(at.error(format!("`{other}` is not an MTL statement that this renderer knows")));
            }
        }
    }
    Ok(materials)
}

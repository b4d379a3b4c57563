//! What the OBJ and MTL reader accepts, and what it says about files that it does not.

#![allow(clippy::expect_used, reason = "a test may panic")]

use glam::Vec3;
use pathtrace::obj::{Mesh, ParseError, parse_mtl, parse_obj};

const SQUARE: &str = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n";

fn parse(text: &str) -> Result<Mesh, ParseError> {
    parse_obj("mesh.obj", text, &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)))
}

fn positions(mesh: &Mesh) -> Vec<[Vec3; 3]> {
    mesh.triangles.iter().map(|triangle| triangle.corners.map(|corner| corner.position)).collect()
}

fn error_of(text: &str) -> String {
    parse(text).expect_err("the text is wrong").to_string()
}

#[test]
fn a_quad_becomes_two_triangles() {
    let mesh = parse(&format!("{SQUARE}f 1 2 3 4\n")).expect("valid");
    let [a, b, c, d] = [Vec3::ZERO, Vec3::X, Vec3::new(1.0, 1.0, 0.0), Vec3::Y];
    assert_eq!(positions(&mesh), [[a, b, c], [a, c, d]]);
}

#[test]
fn negative_indices_count_from_the_latest_vertex() {
    let mesh = parse(&format!("{SQUARE}f -4 -3 -2\nv 9 9 9\nf -5 -4 -3\n")).expect("valid");
    assert_eq!(positions(&mesh)[0], positions(&mesh)[1]);
}

#[test]
fn normals_and_texture_coordinates_may_be_given_or_not() {
    let faces = "vn 0 0 2\nvt 0 0\nf 1/1/1 2/1/1 3/1/1\nf 1//1 2//1 3//1\nf 1/1 2/1 3/1\n";
    let mesh = parse(&format!("{SQUARE}{faces}")).expect("valid");
    assert!(mesh.triangles.iter().flat_map(|t| t.corners).all(|corner| corner.normal == Vec3::Z));
}

#[test]
fn inside_a_smoothing_group_normals_are_shared_and_outside_they_are_not() {
    let roof = "v -1 0 0\nv 0 1 0\nv 0 1 1\nv 1 0 0\n";
    let faces = "f 1 3 2\nf 2 3 4\n";
    let ridge = |mesh: &Mesh| (mesh.triangles[0].corners[2].normal, mesh.triangles[1].corners[0].normal);
    let (left, right) = ridge(&parse(&format!("{roof}s 1\n{faces}")).expect("valid"));
    assert_eq!(left, right);
    let (left, right) = ridge(&parse(&format!("{roof}s off\n{faces}")).expect("valid"));
    assert!(left.dot(right) < 0.5, "{left} {right}");
}

#[test]
fn a_face_without_area_is_left_out() {
    let mesh = parse(&format!("{SQUARE}f 1 1 2\nf 1 2 3\n")).expect("valid");
    assert_eq!(mesh.triangles.len(), 1);
}

#[test]
fn a_text_without_faces_is_refused() {
    assert_eq!(error_of(SQUARE), "mesh.obj: no face with an area in it; a mesh needs `v` and `f` statements");
    assert_eq!(error_of(""), error_of("f 1 2 3\n".replace("f 1 2 3", "# f 1 2 3").as_str()));
}

#[test]
fn every_bad_statement_is_named_with_its_line() {
    let cases = [
        ("v 0 nan 0\n", "mesh.obj:1: `nan` is not between -1e9 and 1e9"),
        ("v 0 inf 0\n", "mesh.obj:1: `inf` is not between -1e9 and 1e9"),
        ("v 0 1\n", "mesh.obj:1: expected 3 numbers, found 2"),
        ("v 0 1 x\n", "mesh.obj:1: `x` is not a number"),
        ("\nv 0 0 0\nf 1 1\n", "mesh.obj:3: a face needs at least 3 corners, this one has 2"),
        ("v 0 0 0\nf 1 2 3\n", "mesh.obj:2: vertex 2 does not exist: 1 are defined so far"),
        ("v 0 0 0\nf 0 1 1\n", "mesh.obj:2: vertex 0 does not exist: 1 are defined so far"),
        ("v 0 0 0\nf -2 1 1\n", "mesh.obj:2: vertex -2 does not exist: 1 are defined so far"),
        ("v 0 0 0\nf 1//1 1//1 1//1\n", "mesh.obj:2: normal 1 does not exist: 0 are defined so far"),
        ("v 0 0 0\nf 9223372036854775808 1 1\n", "mesh.obj:2: `9223372036854775808` is not a vertex index"),
        ("usemtl gold\n", "mesh.obj:1: material `gold` is not defined by any `mtllib` so far"),
        ("curv 1 2\n", "mesh.obj:1: `curv` is not an OBJ statement that this renderer knows"),
    ];
    for (text, message) in cases {
        assert_eq!(error_of(text), message);
    }
    assert!(error_of("\nmtllib a.mtl\n").starts_with("mesh.obj:2: material library `a.mtl`: "));
}

#[test]
fn materials_come_from_the_library_and_tints_from_the_vertices() {
    let library = "newmtl gold\nKd 0.9 0.6 0.2\nPm 1\nPr 0.25\nNs 10\n";
    let text = "mtllib a.mtl\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nusemtl gold\nf 1 2 3\n";
    let mesh = parse_obj("mesh.obj", text, &|_| Ok(library.to_owned())).expect("valid");
    let triangle = mesh.triangles[0];
    let material = &mesh.materials[usize::from(triangle.material)];
    assert_eq!((material.colour, material.metal, material.roughness), (Vec3::new(0.9, 0.6, 0.2), true, 0.25));
    assert_eq!(triangle.corners[0].tint, Vec3::X);
}

#[test]
fn a_bad_library_is_named_with_its_line() {
    let error_of = |text: &str| parse_mtl("a.mtl", text).expect_err("the text is wrong").to_string();
    assert_eq!(error_of("Kd 1 1 1\n"), "a.mtl:1: `Kd` stands before the first `newmtl`");
    assert_eq!(error_of("newmtl a\nPr 2\n"), "a.mtl:2: `2` must lie between 0 and 1");
    assert_eq!(error_of("newmtl a\nKd 1 2 0\n"), "a.mtl:2: a colour's parts must lie between 0 and 1");
    assert_eq!(
        error_of("newmtl a\nmap_Kd x.png\n"),
        "a.mtl:2: `map_Kd` is not an MTL statement that this renderer knows"
    );
}

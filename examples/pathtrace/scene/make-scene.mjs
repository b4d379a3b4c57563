// Writes mill.obj: the Utah teapot on a millstone with wheat grains around it.
//
//   npm install three@0.170.0 && node make-scene.mjs
//
// The teapot's shape is Martin Newell's (1975), tessellated by three.js; stone and grains are made here. Vertices
// carry a colour (x y z r g b) that multiplies the material's, and `s` groups say which edges are rounded.

import { writeFileSync } from 'node:fs';
import { TeapotGeometry } from 'three/examples/jsm/geometries/TeapotGeometry.js';

const TEAPOT_SEGMENTS = 12;
const STONE = { radius: 2.42, height: 0.62, rings: 18, furrows: 22 };
const BAND = { low: 0.17, high: 0.43, thickness: 0.03 };
const GRAINS_ON_STONE = 64;
const GRAINS_ON_FLOOR = 20; // in pairs across the axis, so that the turntable stays centred

const lines = [
  '# The Utah teapot on a millstone; see LICENSE and make-scene.mjs.',
  'mtllib mill.mtl',
];
let vertexCount = 0;
let smoothingGroup = 0;

// A small generator with a fixed seed, so that the file is the same each time (mulberry32).
let seed = 7;
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const round = (x, digits) => String(Number(x.toFixed(digits)));

// `vertices` are [x, y, z, tint] with tint a number or [r, g, b]; `faces` index them from 0.
function emit(material, vertices, faces) {
  smoothingGroup += 1;
  lines.push(`usemtl ${material}`, `s ${smoothingGroup}`);
  for (const [x, y, z, tint = 1] of vertices) {
    const rgb = Array.isArray(tint) ? tint : [tint, tint, tint];
    lines.push(`v ${[x, y, z].map((n) => round(n, 4)).join(' ')} ${rgb.map((n) => round(n, 2)).join(' ')}`);
  }
  for (const face of faces) lines.push(`f ${face.map((i) => i + 1 + vertexCount).join(' ')}`);
  vertexCount += vertices.length;
}

function smoothstep(from, to, x) {
  const t = Math.min(1, Math.max(0, (x - from) / (to - from)));
  return t * t * (3 - 2 * t);
}

const mix = (a, b, t) => a.map((x, i) => x + (b[i] - x) * t);

// ---- teapot: corners of neighbouring patches are welded, so that smoothing goes across.
function teapot(part, y0, tintOf) {
  const geometry = new TeapotGeometry(1, TEAPOT_SEGMENTS, part === 'body', part === 'lid', part === 'body');
  const position = geometry.getAttribute('position');
  const index = geometry.getIndex();
  const welded = new Map();
  const vertices = [];
  const numberOf = (i) => {
    const p = [position.getX(i), position.getY(i), position.getZ(i)];
    const key = p.map((x) => Math.round(x * 1e4)).join(',');
    if (!welded.has(key)) {
      welded.set(key, vertices.length);
      const y = p[1] + 1; // the foot stands at 0
      vertices.push([p[0], y + y0, p[2], tintOf(p[0], y, p[2])]);
    }
    return welded.get(key);
  };
  const faces = [];
  for (let i = 0; i < index.count; i += 3) {
    const face = [0, 1, 2].map((k) => numberOf(index.getX(i + k)));
    if (new Set(face).size === 3) faces.push(face);
  }
  return { vertices, faces };
}

// ---- millstone: a grid in polar coordinates, twisted so that its spokes are the curved furrows of a "sickle dress".
// One furrow in SECTION: where its points lie across the section, and how deep. The wall is steep, the back is gentle.
const SECTION = [
  { across: 0.0, depth: 0 },
  { across: 0.03, depth: 0.085 },
  { across: 0.13, depth: 0.08 },
  { across: 0.27, depth: 0.04 },
  { across: 0.40, depth: 0.0 },
  { across: 0.60, depth: 0 },
  { across: 0.80, depth: 0 },
];
const TWIST = 0.9; // radians from the eye to the edge

function millstone() {
  const { radius, height, rings, furrows } = STONE;
  const spokes = furrows * SECTION.length;
  const spokeAngle = (j) => (2 * Math.PI * (Math.floor(j / SECTION.length) + SECTION[j % SECTION.length].across)) / furrows;
  const vertices = [];
  const faces = [];
  const speckle = () => 0.78 + 0.34 * random() - (random() < 0.15 ? 0.3 : 0);
  const warm = (v) => [v, v * 0.97, v * 0.92];
  vertices.push([0, height, 0, 0.9]);
  for (let i = 1; i <= rings; i += 1) {
    const r = (radius - 0.05) * Math.sqrt(i / rings); // rings of equal area
    for (let j = 0; j < spokes; j += 1) {
      const angle = spokeAngle(j) + TWIST * (r / radius);
      const cut = SECTION[j % SECTION.length].depth * smoothstep(0.4, 0.9, r);
      const y = height - cut + 0.003 * (random() - 0.5);
      vertices.push([r * Math.cos(angle), y, r * Math.sin(angle), warm(speckle() * (1 - 3 * cut))]);
    }
  }
  const at = (ring, j) => 1 + (ring - 1) * spokes + (j % spokes);
  for (let j = 0; j < spokes; j += 1) faces.push([0, at(1, j + 1), at(1, j)]);
  for (let i = 1; i < rings; i += 1) {
    for (let j = 0; j < spokes; j += 1) faces.push([at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)]);
  }
  // The rounded edge and the side.
  const profile = [
    [radius - 0.012, height - 0.015],
    [radius, height - 0.055],
    [radius, 0.05],
    [radius - 0.03, 0],
  ];
  let ring = rings;
  for (const [r, y] of profile) {
    for (let j = 0; j < spokes; j += 1) {
      const angle = spokeAngle(j) + TWIST;
      const rough = r + 0.003 * (random() - 0.5);
      vertices.push([rough * Math.cos(angle), y, rough * Math.sin(angle), warm(0.85 + 0.15 * speckle())]);
    }
    for (let j = 0; j < spokes; j += 1) faces.push([at(ring, j), at(ring, j + 1), at(ring + 1, j + 1), at(ring + 1, j)]);
    ring += 1;
  }
  return { vertices, faces };
}

function lathe(profile, spokes) {
  const vertices = [];
  const faces = [];
  for (const [r, y] of profile) {
    for (let j = 0; j < spokes; j += 1) {
      const angle = (2 * Math.PI * j) / spokes;
      vertices.push([r * Math.cos(angle), y, r * Math.sin(angle)]);
    }
  }
  for (let i = 0; i + 1 < profile.length; i += 1) {
    for (let j = 0; j < spokes; j += 1) {
      const k = (j + 1) % spokes;
      faces.push([i * spokes + j, i * spokes + k, (i + 1) * spokes + k, (i + 1) * spokes + j]);
    }
  }
  return { vertices, faces };
}

// ---- a grain of wheat: an egg with a crease along it.
function grain(x, y, z, turn, size) {
  const rings = 6;
  const spokes = 8;
  const tint = mix([1, 0.92, 0.72], [0.82, 0.62, 0.4], random());
  const vertices = [];
  const put = (along, side, up) => {
    vertices.push([
      x + size * (along * Math.cos(turn) - side * Math.sin(turn)),
      y + size * (up + 0.42),
      z + size * (along * Math.sin(turn) + side * Math.cos(turn)),
      tint,
    ]);
  };
  put(-1, 0, 0);
  for (let i = 1; i < rings; i += 1) {
    const phi = (Math.PI * i) / rings;
    for (let j = 0; j < spokes; j += 1) {
      const theta = (2 * Math.PI * j) / spokes;
      const width = Math.sin(phi) * (0.46 - 0.06 * Math.cos(phi)) * (j === 2 ? 0.8 : 1);
      put(-Math.cos(phi), width * Math.cos(theta), width * 0.9 * Math.sin(theta));
    }
  }
  put(1, 0, 0);
  const last = vertices.length - 1;
  const faces = [];
  for (let j = 0; j < spokes; j += 1) {
    const k = (j + 1) % spokes;
    faces.push([0, 1 + j, 1 + k], [last, last - spokes + k, last - spokes + j]);
    for (let i = 0; i + 2 < rings; i += 1) {
      const a = 1 + i * spokes;
      faces.push([a + k, a + j, a + spokes + j, a + spokes + k]);
    }
  }
  return { vertices, faces };
}

const stone = millstone();
emit('stone', stone.vertices, stone.faces);

const { low, high, thickness } = BAND;
const inner = STONE.radius - 0.02;
const outer = STONE.radius + thickness;
const hoop = [[inner, high], [outer, high], [outer + 0.008, (low + high) / 2], [outer, low], [inner, low]];
for (const profile of [hoop.slice(0, 2), hoop.slice(1, 4), hoop.slice(3)]) {
  const piece = lathe(profile, 120);
  emit('iron', piece.vertices, piece.faces);
}

// The glaze runs thin and brown over edges, and pools dark towards the foot.
const glaze = (x, y, z) => {
  const pooled = mix([0.45, 0.5, 0.62], [1, 1, 1], smoothstep(0.0, 0.9, y));
  const angle = Math.atan2(z, x);
  const run = 0.07 * Math.sin(5 * angle) + 0.045 * Math.sin(11 * angle + 1) + 0.03 * Math.sin(17 * angle);
  const rim = smoothstep(1.16, 1.40, y + run);
  return mix(pooled, [13, 0.8, 0.22], Math.hypot(x, z) < 1.6 ? rim : 0.85 * smoothstep(1.1, 1.5, y));
};
const body = teapot('body', STONE.height, glaze);
emit('glaze', body.vertices, body.faces);
const lid = teapot('lid', STONE.height, () => 1);
emit('brass', lid.vertices, lid.faces);

for (let i = 0; i < GRAINS_ON_STONE; i += 1) {
  const angle = 2 * Math.PI * random();
  const r = 1.25 + 1.02 * Math.sqrt(random());
  const item = grain(r * Math.cos(angle), STONE.height - 0.01, r * Math.sin(angle), 6.28 * random(), 0.085 + 0.02 * random());
  emit('grain', item.vertices, item.faces);
}
for (let i = 0; i < GRAINS_ON_FLOOR / 2; i += 1) {
  const angle = 2 * Math.PI * random();
  const r = 2.62 + 0.5 * random() * random();
  const turn = 6.28 * random();
  const size = 0.085 + 0.02 * random();
  for (const half of [0, Math.PI]) {
    const item = grain(r * Math.cos(angle + half), 0, r * Math.sin(angle + half), turn + half, size);
    emit('grain', item.vertices, item.faces);
  }
}

writeFileSync(new URL('mill.obj', import.meta.url), `${lines.join('\n')}\n`);

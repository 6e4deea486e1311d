"""Meshes that are mended, textured, baked and drawn; splats that are drawn and meshed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from comfyui_emulator.nodes.media import dance
from comfyui_emulator.nodes.solids import baking, rendering, repairs, splat_meshing, splat_rendering, textures
from comfyui_emulator.nodes.solids.cameras import aimed
from comfyui_emulator.nodes.solids.meshes import Mesh, batch
from comfyui_emulator.nodes.solids.rasters import cover, spread
from comfyui_emulator.nodes.solids.repairs import Surface
from comfyui_emulator.nodes.solids.search_tree import TriangleTree
from comfyui_emulator.nodes.solids.splats import Splat
from comfyui_emulator.nodes.solids.topology import charts

RANDOM = np.random.default_rng(2)


def square(**more: Any) -> Mesh:
    """Two triangles from -1 to 1 at z 0, towards +z, with the whole texture on them."""
    points = np.array([[[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]], np.float32)
    uvs = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], np.float32)
    return Mesh(points, np.array([[[0, 1, 2], [0, 2, 3]]]), uvs=uvs, **more)


def ring(count: int) -> Surface:
    """A strip around a hole with so many corners."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    inner = np.stack([np.cos(angles), np.sin(angles), np.zeros(count)], axis=-1)
    points = np.concatenate([inner, inner * 2]).astype(np.float32)
    here = np.arange(count)
    after = (here + 1) % count
    faces = [np.stack([here, here + count, after], 1), np.stack([after, here + count, after + count], 1)]
    return Surface(points, np.concatenate(faces), points.copy())


def ball(count: int = 400) -> Splat:
    """Splats on a ball, red on the right, blue on the left."""
    places = RANDOM.standard_normal((count, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    colors = np.where(places[:, :1] > 0, [[1.7, -1.7, -1.7]], [[-1.7, -1.7, 1.7]])
    turns = np.tile([1.0, 0, 0, 0], (count, 1))
    numbers = (places, np.full((count, 3), 0.08), turns, np.full((count, 1), 0.95), colors[:, None, :])
    return Splat(*(np.asarray(values, np.float32)[None] for values in numbers))


def test_vertices_in_one_place_become_one() -> None:
    """They are replaced by their mean, with the mean of their colours; others keep their faces."""
    points = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1e-7], [0, 1, 0], [1, 1, 0]]], np.float32)
    colors = np.arange(6, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    mesh = Mesh(points, np.array([[[0, 1, 2], [3, 5, 4]]]), vertex_colors=colors, normals=points)

    welded = repairs.weld_vertices(mesh, 1e-5, 0.0)
    coarse = repairs.weld_vertices(mesh, 0.0, 5.0)

    assert welded.vertices.shape == (1, 4, 3)
    assert len(set(welded.faces[0, 0]) & set(welded.faces[0, 1])) == 2
    assert welded.vertex_colors is not None
    assert sorted(welded.vertex_colors[0, :, 0].tolist()) == [0, 2, 3, 5]
    assert welded.normals is None
    assert coarse.vertices.shape == (1, 1, 3)


@pytest.mark.parametrize(("count", "vertices", "faces"), [(5, 0, 3), (8, 0, 6), (12, 1, 12)])
def test_holes_are_closed(count: int, vertices: int, faces: int) -> None:
    """A small hole gets triangles around one of its corners, a larger one around a new vertex in its middle."""
    given = ring(count)

    filled = repairs.fill(given, 7.0, 16, chains=False)

    assert len(filled.points) - len(given.points) == vertices
    assert len(filled.faces) - len(given.faces) == faces
    assert repairs.fill(given, 1.0, 16, chains=False).faces is given.faces
    assert repairs.fill(given, 7.0, 4, chains=False).faces is given.faces
    if vertices:
        assert filled.colors is not None
        assert np.allclose(filled.colors[-1], 0, atol=1e-6)


def test_only_a_closed_border_is_a_hole() -> None:
    """Where borders touch each other they are left open, unless that is asked for."""
    points = RANDOM.standard_normal((5, 3)).astype(np.float32)
    given = Surface(points, np.array([[0, 1, 2], [0, 3, 4]]), None)

    assert repairs.fill(given, 99.0, 64, chains=False).faces is given.faces
    assert len(repairs.fill(given, 99.0, 64, chains=True).faces) > len(given.faces)


def test_sharp_edges_stay_sharp() -> None:
    """Where faces meet at a right angle, vertices are doubled for smaller angles, and shared for larger ones."""
    points = np.array([[[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]], np.float32)
    roof = Mesh(points, np.array([[[0, 2, 1], [0, 1, 3]]]))

    smooth, sharp = repairs.mesh_normals(roof, 180.0), repairs.mesh_normals(roof, 30.0)
    still = repairs.mesh_normals(roof, 91.0)

    assert smooth.vertices.shape == still.vertices.shape == (1, 4, 3)
    assert smooth.normals is not None
    assert np.allclose(smooth.normals[0, 0], np.array([1, 0, 1]) / 2**0.5, atol=1e-6)
    assert sharp.vertices.shape == (1, 6, 3)
    assert sharp.normals is not None
    assert {tuple(np.round(normal, 5)) for normal in sharp.normals[0].tolist()} == {(0, 0, 1), (1, 0, 0)}


def test_textures_come_off_as_they_were_put_on() -> None:
    """Channels are packed into one texture and taken out of it; what is missing is neutral."""
    picture = RANDOM.uniform(0, 1, (1, 4, 4, 3)).astype(np.float32)
    made = textures.apply_texture(square(), picture, roughness=picture[:, :2, :2], occlusion=picture)
    base, metallic, roughness, occlusion, normals = textures.to_images(made)

    assert np.array_equal(base, picture)
    assert metallic.max() == 0
    assert np.allclose(occlusion, picture[..., :1], atol=1e-6)
    assert roughness.shape == (1, 4, 4, 3)
    assert normals[0, 0, 0].tolist() == [0.5, 0.5, 1.0]
    bumpy = textures.apply_texture(square(), picture, normal_map=picture)
    assert bumpy.tangents is not None
    assert np.allclose(bumpy.tangents[0, 0], [1, 0, 0, 1], atol=1e-6)
    with pytest.raises(ValueError, match="no UVs"):
        textures.apply_texture(Mesh(square().vertices, square().faces), picture)
    with pytest.raises(ValueError, match="no baseColor texture"):
        textures.to_images(square())


def test_places_outside_are_fitted_in() -> None:
    """They are moved and shrunk alike; those inside stay."""
    outside = np.array([[-1, 0], [1, 1]], np.float32)

    assert textures.fitted(outside).tolist() == [[0, 0], [1, 0.5]]
    assert np.allclose(textures.fitted(np.array([[0.2, 0.7]], np.float32)), [[0.2, 0.7]])


def test_an_atlas_has_a_colour_for_each_chart() -> None:
    """Faces with common edges are one chart; borders are black, the rest is paper."""
    apart = batch(
        [np.concatenate([square().vertices[0], square().vertices[0]])],
        [np.concatenate([square().faces[0], square().faces[0] + 4])],
        uvs=[np.concatenate([square().uvs[0] * 0.4, square().uvs[0] * 0.4 + 0.5])],  # type: ignore[index]
    )

    image = textures.atlas(apart, 64)

    assert charts(apart.faces[0]).tolist() == [0, 0, 1, 1]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 4
    assert image[0, 63, 0].tolist() == pytest.approx([0.13] * 3)


def test_uncovered_pixels_get_a_colour_from_nearby() -> None:
    """Every pixel is filled, covered ones are kept."""
    covered = cover(np.array([[[2, 2], [6, 2], [2, 6]]], np.float32), 16)
    image = np.zeros((16, 16, 3), np.float32)
    image[covered.mask] = 0.5

    filled = spread(image, covered.mask)

    assert 0 < covered.mask.sum() < 16
    assert (filled == 0.5).all()


def test_rays_meet_the_nearest_triangle() -> None:
    """A tree finds what a search through all triangles finds, also the nearest place."""
    corners = RANDOM.standard_normal((50, 3, 3)).astype(np.float32)
    tree = TriangleTree(corners)
    origins = np.tile(np.array([0, 0, 9], np.float32), (40, 1))
    rays = RANDOM.standard_normal((40, 3)).astype(np.float32) * 0.1 - np.array([0, 0, 1], np.float32)

    depth, face = tree.first_hits(origins, rays, 0.0, 99.0)
    places, nearest = tree.nearest(rays)

    every = np.arange(50)
    for index in range(40):
        same = (origins[[index] * 50], rays[[index] * 50])
        found = tree._crossed(*same, every, front_only=False)
        found = np.where(found > 0, found, np.inf)
        assert min(float(found.min()), 99.0) == pytest.approx(float(depth[index]), rel=1e-4)
        assert (face[index] < 0) == np.isinf(found).all()
    assert (nearest >= 0).all()
    assert np.isfinite(places).all()


def test_a_flat_mesh_bakes_flat() -> None:
    """Its own normals are straight up and nothing hides the sky; a wall beside it does."""
    low = square(normals=np.tile(np.array([0, 0, 1], np.float32), (1, 4, 1)))
    wall = Mesh(np.array([[[-1, -1, 0], [1, -1, 0], [0, 0, 3]]], np.float32), np.array([[[0, 1, 2]]]))
    both = Mesh(np.concatenate([low.vertices, wall.vertices], 1), np.concatenate([low.faces, wall.faces + 4], 1))
    options = {"samples": 16, "max_distance": 0.9, "strength": 1.0, "bias": 0.01}

    normals = baking.normal_map(low, low, 64, 0.05, True)
    free, hidden = (baking.occlusion(low, high, 64, **options) for high in (low, both))

    assert np.allclose(normals, [0.5, 0.5, 1.0], atol=1e-3)
    assert (free == 1).all()
    assert hidden.min() < 0.9
    with pytest.raises(ValueError, match="low_poly has no UVs"):
        baking.normal_map(wall, low, 64, 0.05, True)


def test_a_mesh_is_drawn_where_it_is() -> None:
    """The middle shows the mesh, the corner the background; normals face the camera, near is white."""
    texture = np.zeros((1, 2, 2, 3), np.float32)
    texture[..., 1] = 1
    given = square(texture=texture)

    image, mask = rendering.render_mesh(given, "auto", 64, 64, "#ff0000")
    normal = rendering.render_mesh(given, "normal", 64, 64, "#000000")[0]
    clay = rendering.render_mesh(given, "solid", 64, 64, "#000000")[0]
    aside = {"position": {"x": 9, "y": 0, "z": 0}, "target": {"x": 99, "y": 0, "z": 0}}
    nothing = rendering.render_mesh(given, "depth", 64, 64, "#0000ff", None, aside)[1]

    assert image[0, 32, 32].tolist() == [0, 1, 0]
    assert image[0, 0, 0].tolist() == [1, 0, 0]
    assert (mask[0, 32, 32], mask[0, 0, 0]) == (1, 0)
    assert normal[0, 32, 32].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-3)
    assert clay[0, 32, 32].tolist() == pytest.approx([0.72] * 3, abs=1e-2)
    assert nothing.max() == 0


def test_splats_are_drawn_from_all_sides() -> None:
    """From the front red is on the right, from behind on the left; the mask covers the ball."""
    front = aimed([0, 0, 4], [0, 0, 0], 0.0, fov=35.0, cameraType="perspective", zoom=1.0)
    look = {"render_style": "color", "splat_scale": 1.0, "sharpen": 2.0, "headlight_shading": 0.0}

    images, masks = splat_rendering.render_splat(ball(), 64, 64, 2, "#000000", 0.0, front, **look)
    straight, deep = front | {"cameraType": "orthographic"}, look | {"render_style": "depth"}
    flat, _ = splat_rendering.render_splat(ball(), 64, 64, 1, "#000000", 0.0, straight, **look)
    depth, _ = splat_rendering.render_splat(ball(3000), 64, 64, 1, "#000000", 0.0, front, **deep)
    none, mask = splat_rendering.render_splat(ball(), 64, 64, 1, "#00ff00", 1.0, None, **look)

    assert images.shape == (2, 64, 64, 3)
    for image in (images[0], flat[0]):
        assert image[32, 40, 0] > 0.5 > image[32, 40, 2]
        assert image[32, 24, 2] > 0.5 > image[32, 24, 0]
    assert images[1, 32, 40, 2] > 0.5
    assert masks[0, 32, 32] > 0.9
    assert depth[0, 32, 32, 0] > depth[0, 32, 54, 0]
    assert none[0, 5, 5].tolist() == [0, 1, 0]
    assert mask.max() == 0


def test_splats_become_a_closed_mesh() -> None:
    """The surface is around the ball, closed, with the colours of the splats; without splats it is empty."""
    options = {"resolution": 64, "kernel": 8, "smooth": 2, "level": 0.4, "min_component": 20, "min_opacity": 0.1}

    mesh = splat_meshing.splat_to_mesh(ball(), color_sharpen=2.0, **options)
    empty = splat_meshing.splat_to_mesh(ball(), color_sharpen=1.0, **(options | {"min_opacity": 1.0}))
    faces = mesh.faces[0]
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)

    assert set(np.unique(sides, axis=0, return_counts=True)[1].tolist()) <= {2, 4}
    assert 0.7 < np.linalg.norm(mesh.vertices[0], axis=1).max() < 1.4
    assert mesh.unlit
    assert mesh.vertex_colors is not None
    right = mesh.vertices[0, :, 0] > 0.5
    assert mesh.vertex_colors[0, right, 0].mean() > 0.5 > mesh.vertex_colors[0, right, 2].mean()
    assert empty.vertices.shape == (1, 0, 3)


def test_keyframes_are_spread_over_a_sound() -> None:
    """As many segments as the sound needs; in each, pictures at equal distances and one at its end."""
    pictures = np.linspace(0.1, 0.4, 4, dtype=np.float32)[:, None, None, None] * np.ones((4, 2, 2, 3), np.float32)
    sound = {"waveform": np.zeros((1, 1, 20000), np.float32), "sample_rate": 10000}

    frames, masks, sounds = dance.pad_keyframes_list(pictures, 30, 2, sound)
    silent = dance.segment(pictures, 30, 0, {"waveform": np.zeros((1, 1, 10), np.float32), "sample_rate": 10000})

    assert [np.nonzero(mask[:, 0, 0])[0].tolist() for mask in masks] == [[0, 29], [0, 29]]
    assert frames[1][29, 0, 0, 0] == pytest.approx(0.3)
    assert [part["waveform"].shape[-1] for part in sounds] == [10000, 10000]
    assert silent[1].max() == 0

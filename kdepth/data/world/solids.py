"""What a street is made of: convex solids, ellipsoids and a ground, kept as flat tables of faces.

World frame: x east (along the street), y north (left), z up; metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kdepth.data.world.palette import Colour

# Materials: what `textures` paints on a face.
SKY, ROAD, WALK, KERB, WALL, ROOF, LEAF, BODY, CABIN, BARK, PLAIN, BRICK = range(12)
# The first rows of the face table do not belong to a solid.
SKY_FACE, ROAD_FACE, WALK_FACE, LEFT_KERB_FACE, RIGHT_KERB_FACE = range(5)
RESERVED_FACES = 5
MAX_VERTICES = 12
EAST, NORTH, UP = np.eye(3)
# Six numbers whose meaning `materials` knows; (fifth, sixth) = (length, height) of a prism's side.
Style = tuple[float, ...]
NO_STYLE: Style = (0.0,) * 6
_DARK = (0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Ground:
    """A street's surface: two parallel sheets (road; sidewalk and beyond) with a kerb between them.

    Height z(x, y) = slope x + curvature x^2 + camber y, so that a ray meets it at the root of a
    quadratic. The road's centre line is y = amplitude (sin(frequency x + phase) - sin(phase)).
    """

    slope: float
    curvature: float
    camber: float
    kerb: float
    amplitude: float
    frequency: float
    phase: float
    left: float  # metres from the centre line to the kerb on the left
    right: float
    walk: float  # width of the sidewalk
    marks: int  # 0 none, 1 dashed centre line, 2 dashed centre line and edge lines
    asphalt: tuple[float, float, float]
    paving: tuple[float, float, float]
    verge: tuple[float, float, float]
    grass: bool
    end: float  # x beyond which there is no ground

    def z(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height of the road sheet."""
        return self.slope * x + self.curvature * x * x + self.camber * y

    def centre(self, x: np.ndarray) -> np.ndarray:
        """Where the road's centre line is: y."""
        return self.amplitude * (np.sin(self.frequency * x + self.phase) - np.sin(self.phase))

    def heading(self, x: np.ndarray) -> np.ndarray:
        """Slope dy/dx of the centre line."""
        return self.amplitude * self.frequency * np.cos(self.frequency * x + self.phase)

    def bend(self, x: np.ndarray) -> np.ndarray:
        """Curvature of the centre line, 1 / metres, where it is nearly parallel to x."""
        return -self.amplitude * self.frequency**2 * np.sin(self.frequency * x + self.phase)

    def lateral(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Metres to the left of the centre line (to first order in the line's curvature)."""
        slope = self.heading(x)
        return (y - self.centre(x)) / np.sqrt(1.0 + slope * slope)

    def place(self, x: float, lateral: float) -> tuple[float, float, float]:
        """The point `lateral` metres left of the centre line: x, y, and the road's angle there."""
        angle = float(np.arctan(self.heading(x)))
        return x - lateral * np.sin(angle), float(self.centre(x)) + lateral * np.cos(angle), angle


@dataclass
class Solids:
    """Grows while a scene is laid out; `freeze` makes the tables that the ray-caster reads."""

    normals: list = field(default_factory=lambda: [UP] * 3 + [-NORTH, NORTH])
    offsets: list = field(default_factory=lambda: [0.0] * RESERVED_FACES)
    axes_u: list = field(default_factory=lambda: [EAST] * RESERVED_FACES)
    axes_v: list = field(default_factory=lambda: [NORTH] * 3 + [UP] * 2)
    origins: list = field(default_factory=lambda: [(0.0, 0.0)] * RESERVED_FACES)
    materials: list = field(default_factory=lambda: [SKY, ROAD, WALK, KERB, KERB])
    colours: list = field(default_factory=lambda: [(0.5, 0.5, 0.5)] * RESERVED_FACES)
    styles: list = field(default_factory=lambda: [NO_STYLE] * RESERVED_FACES)
    spans: list = field(default_factory=list)  # of each convex solid's faces
    vertices: list = field(default_factory=list)
    centres: list = field(default_factory=list)  # of ellipsoids
    radii: list = field(default_factory=list)
    round_faces: list = field(default_factory=list)

    def prism(
        self,
        base: np.ndarray,
        bottom: float,
        top: float,
        material: int,
        colour: Colour,
        *,
        roof: int | None = None,
        roof_colour: Colour | None = None,
        upper: np.ndarray | None = None,
        style: Style = NO_STYLE,
    ) -> None:
        """Adds a solid between a convex polygon and one with parallel sides above it.

        Args:
            base: [n, 2] corners at the bottom, counter-clockwise seen from above.
            bottom: z of the base.
            top: z of the top.
            material: of the sides.
            colour: of the sides, RGB.
            roof: material of the top; the sides' if None.
            roof_colour: of the top; the sides' if None.
            upper: [n, 2] corners at the top; the base's if None. Its sides must be parallel to the
                base's.
            style: six numbers for the material; the fifth and sixth of a side are set to its length
                and height.
        """
        upper = base if upper is None else upper
        low = np.column_stack([base, np.full(len(base), bottom)])
        high = np.column_stack([upper, np.full(len(base), top)])
        first = len(self.normals)
        for i in range(len(base)):
            j = (i + 1) % len(base)
            length = float(np.linalg.norm(low[j] - low[i]))
            side = (*style[:4], length, top - bottom)
            self._side(low[i], low[j], high[i], material, colour, side)
        along = np.append(base[1] - base[0], 0.0)
        along /= np.linalg.norm(along)
        across = np.array([-along[1], along[0], 0.0])
        middle = np.append(base.mean(0), top)
        cover = material if roof is None else roof
        paint = colour if roof_colour is None else roof_colour
        self._face(UP, middle, along, across, cover, paint, NO_STYLE)
        self._face(-UP, low[0], along, -across, PLAIN, _DARK, NO_STYLE)
        self._close(first, np.vstack([low, high]))

    def gable(
        self, base: np.ndarray, bottom: float, ridge: float, colour: Colour, wall: Colour
    ) -> None:
        """Adds a roof over a rectangle: the ridge runs along its first side, the ends are walls.

        Args:
            base: [4, 2] corners, counter-clockwise.
            bottom: z of the eaves.
            ridge: height of the ridge above them.
            colour: of the roof.
            wall: colour of the two ends.
        """
        low = np.column_stack([base, np.full(4, bottom)])
        ends = np.array([(low[0] + low[3]) / 2, (low[1] + low[2]) / 2]) + (0.0, 0.0, ridge)
        first = len(self.normals)
        for a, b, c, material, paint in (
            (low[0], low[1], ends[0], ROOF, colour),
            (low[2], low[3], ends[1], ROOF, colour),
            (low[1], low[2], ends[1], BRICK, wall),
            (low[3], low[0], ends[0], BRICK, wall),
        ):
            self._side(a, b, c, material, paint, NO_STYLE)
        self._face(-UP, low[0], EAST, -NORTH, PLAIN, _DARK, NO_STYLE)
        self._close(first, np.vstack([low, ends]))

    def pole(
        self,
        x: float,
        y: float,
        radius: float,
        bottom: float,
        top: float,
        material: int,
        colour: Colour,
    ) -> None:
        """Adds a hexagonal pole."""
        angles = np.arange(6) * (np.pi / 3)
        base = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
        self.prism(base, bottom, top, material, colour)

    def ellipsoid(
        self,
        centre: tuple[float, ...],
        radii: tuple[float, ...],
        material: int,
        colour: Colour,
        style: Style = NO_STYLE,
    ) -> None:
        """Adds an axis-aligned ellipsoid."""
        self.round_faces.append(len(self.normals))
        self.centres.append(centre)
        self.radii.append(radii)
        # Texture is projected along a direction that leads away from a viewer on the street, so
        # that it is nowhere stretched where it is seen.
        away = 0.7 if centre[1] > 0.0 else -0.7
        u, v = np.array([-away, 1.0, 0.0]), np.array([-0.7, 0.0, 1.0])
        self._face(UP, np.array(centre), u, v, material, colour, style)

    def _side(
        self,
        a: np.ndarray,
        b: np.ndarray,
        c: np.ndarray,
        material: int,
        colour: Colour,
        style: Style,
    ) -> None:
        """Adds the face through a, b and c, counter-clockwise; texture runs from a to b and up."""
        axis = (b - a) / np.linalg.norm(b - a)
        rise = (c - a) - axis * (axis @ (c - a))
        rise /= np.linalg.norm(rise)
        self._face(np.cross(axis, rise), a, axis, rise, material, colour, style)

    def _face(
        self,
        normal: np.ndarray,
        point: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        material: int,
        colour: Colour,
        style: Style,
    ) -> None:
        self.normals.append(tuple(normal))
        self.offsets.append(float(normal @ point))
        self.axes_u.append(tuple(u))
        self.axes_v.append(tuple(v))
        self.origins.append((float(u @ point), float(v @ point)))
        self.materials.append(material)
        self.colours.append(colour)
        self.styles.append(style)

    def _close(self, first: int, vertices: np.ndarray) -> None:
        self.spans.append((first, len(self.normals)))
        padding = np.repeat(vertices[-1:], MAX_VERTICES - len(vertices), axis=0)
        self.vertices.append(np.vstack([vertices, padding]))

    def freeze(self, ground: Ground) -> Geometry:
        """The tables of everything that was added."""
        solid_of_face = np.full(len(self.normals), -1)
        for solid, (start, stop) in enumerate(self.spans):
            solid_of_face[start:stop] = solid
        for i, face in enumerate(self.round_faces):
            solid_of_face[face] = len(self.spans) + i
        return Geometry(
            ground=ground,
            normals=np.array(self.normals),
            offsets=np.array(self.offsets),
            axes_u=np.array(self.axes_u),
            axes_v=np.array(self.axes_v),
            origins=np.array(self.origins),
            materials=np.array(self.materials),
            colours=np.array(self.colours, np.float32),
            styles=np.array(self.styles, np.float32),
            spans=tuple(self.spans),
            vertices=np.array(self.vertices).reshape(-1, MAX_VERTICES, 3),
            centres=np.array(self.centres).reshape(-1, 3),
            radii=np.array(self.radii).reshape(-1, 3),
            round_faces=tuple(self.round_faces),
            solid_of_face=solid_of_face,
        )


@dataclass(frozen=True)
class Geometry:
    """A scene at one instant, as tables. F faces, S convex solids, E ellipsoids."""

    ground: Ground
    normals: np.ndarray  # [F, 3] outward
    offsets: np.ndarray  # [F]: normal . point = offset
    axes_u: np.ndarray  # [F, 3] texture axes in the face
    axes_v: np.ndarray
    origins: np.ndarray  # [F, 2]: u = axis . point - origin
    materials: np.ndarray  # [F]
    colours: np.ndarray  # [F, 3] RGB
    styles: np.ndarray  # [F, 6]
    spans: tuple  # S of (first face, one past the last)
    vertices: np.ndarray  # [S, MAX_VERTICES, 3]
    centres: np.ndarray  # [E, 3]
    radii: np.ndarray  # [E, 3]
    round_faces: tuple  # E face indices
    solid_of_face: (
        np.ndarray
    )  # [F] index into convex solids, then ellipsoids; -1 for sky and ground


def rectangle(x: float, y: float, angle: float, length: float, width: float) -> np.ndarray:
    """[4, 2] corners, counter-clockwise from the right rear one."""
    c, s = np.cos(angle), np.sin(angle)
    local = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    return local @ np.array([[c, s], [-s, c]]) + (x, y)

// Points of the plane as discs of equal size on the screen: four corners each, no vertex buffer.

struct View {
  scale: vec2f, // position * scale + offset is in clip space
  offset: vec2f,
  radius: vec2f, // of a disc, in clip space
  chosen: u32, // a point drawn larger
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> positions: array<vec2f>;
@group(0) @binding(2) var<storage, read> colours: array<u32>; // four bytes: red, green, blue, alpha

struct Corner {
  @builtin(position) at: vec4f,
  @location(0) across: vec2f, // -1 to 1
  @location(1) @interpolate(flat) colour: vec4f,
}

@vertex
fn place(@builtin(vertex_index) corner: u32, @builtin(instance_index) point: u32) -> Corner {
  let across = vec2f(f32(corner & 1u), f32(corner >> 1u)) * 2.0 - 1.0;
  let isChosen = point == view.chosen;
  let centre = positions[point] * view.scale + view.offset;
  var colour = unpack4x8unorm(colours[point]);
  colour.a = select(colour.a, 1.0, isChosen);
  return Corner(vec4f(centre + across * view.radius * select(1.0, 2.2, isChosen), 0.0, 1.0), across, colour);
}

@fragment
fn disc(corner: Corner) -> @location(0) vec4f {
  let distance = length(corner.across);
  let edge = fwidth(distance);
  let alpha = corner.colour.a * (1.0 - smoothstep(1.0 - edge, 1.0, distance));
  return vec4f(corner.colour.rgb * alpha, alpha); // premultiplied, as the canvas wants it
}

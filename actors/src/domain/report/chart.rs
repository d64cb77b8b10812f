//! Bars as an image. No letters are drawn: a picture's font would have to know every script a name may be in, and would be
//! read by nobody who does not see. What bars are and how high stands beside the picture as text.

use tiny_skia::{Color, Paint, Pixmap, Rect, Transform};

/// Pixels; shown at half of that, so that it is sharp on every screen.
const WIDTH: u32 = 1_200;
const HEIGHT: u32 = 320;
/// Lines of the scale above the ground.
pub const LINES: u32 = 4;
/// What bars are filled with, in turn: distinguishable with every kind of colour blindness (Okabe and Ito), and on white.
pub const COLORS: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [90, 90, 90],
];
const LINE: [u8; 3] = [221, 224, 228];
const GROUND: [u8; 3] = [110, 118, 129];

/// What the highest line of a scale stands for: the first of 1, 2, 4, 8 and ten times those that no value exceeds, so that
/// every line is a round number.
pub fn top(values: &[f64]) -> f64 {
    let most = values.iter().copied().filter(|value| value.is_finite());
    let most = most.fold(0.0, f64::max);
    if most <= 0.0 {
        return 1.0;
    }
    let ten = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    let fits = |step: &f64| step * ten >= most;
    steps.into_iter().find(fits).unwrap_or(10.0) * ten
}

/// The colour of the bar at a place, where each has its own.
pub fn color(at: usize) -> [u8; 3] {
    COLORS[at % COLORS.len()]
}

/// Draws a bar for each value, as PNG: all in one colour, or each in its own.
///
/// # Errors
/// When the image cannot be encoded.
pub fn bars(values: &[f64], each_its_own: bool) -> Result<Vec<u8>, String> {
    let mut image = Pixmap::new(WIDTH, HEIGHT).ok_or("an image cannot be made")?;
    image.fill(Color::WHITE);
    let (width, height) = (WIDTH as f32, HEIGHT as f32 - 4.0);
    for line in 1..=LINES {
        let y = height - (height - 8.0) * line as f32 / LINES as f32;
        fill(&mut image, (0.0, y, width, 2.0), LINE);
    }
    let top = top(values);
    let step = width / values.len().max(1) as f32;
    let bar = (step * 0.72).clamp(1.0, 90.0);
    for (at, value) in values.iter().enumerate() {
        let part = (value / top).clamp(0.0, 1.0) as f32;
        // Little is not nothing.
        let high = (part * (height - 8.0)).max(if *value > 0.0 { 2.0 } else { 0.0 });
        let left = step * at as f32 + (step - bar) / 2.0;
        let color = if each_its_own { color(at) } else { COLORS[0] };
        fill(&mut image, (left, height - high, bar, high), color);
    }
    fill(&mut image, (0.0, height, width, 3.0), GROUND);
    image
        .encode_png()
        .map_err(|cause| format!("an image cannot be encoded: {cause}"))
}

/// A rectangle: left, top, width and height. One without an area is nothing.
fn fill(image: &mut Pixmap, (x, y, width, height): (f32, f32, f32, f32), color: [u8; 3]) {
    let Some(area) = Rect::from_xywh(x, y, width, height) else {
        return;
    };
    let [red, green, blue] = color;
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    image.fill_rect(area, &paint, Transform::identity(), None);
}

//! SVG to PNG, with a font of its own so that every machine draws the same.

use super::ReportError;
use resvg::{tiny_skia, usvg};
use std::sync::{Arc, LazyLock};

/// Pixels of the PNG for each unit of the SVG, along each side.
pub(super) const SCALE: u32 = 2;

static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// Draws a picture's SVG as PNG.
///
/// # Errors
/// The SVG cannot be read, or the picture does not fit in memory.
pub(super) fn render(name: &str, svg: &str) -> Result<Vec<u8>, ReportError> {
    let failed = |why: String| ReportError::Draw { name: name.to_owned(), why };
    let options = usvg::Options { fontdb: Arc::clone(&FONTS), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| failed(e.to_string()))?;
    let size = tree.size().to_int_size();
    let (width, height) = (size.width() * SCALE, size.height() * SCALE);
    let mut pixels = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| failed(format!("a picture of {width} x {height} pixels does not fit in memory")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE as f32, SCALE as f32), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_and_the_size_is_right() {
        let svg = |text: &str| {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"60\" height=\"20\"><rect width=\"60\" height=\"20\" \
                 fill=\"#fff\"/><text x=\"4\" y=\"15\" font-family=\"sans-serif\">{text}</text></svg>"
            )
        };
        let decode = |text: &str| tiny_skia::Pixmap::decode_png(&render("x", &svg(text)).unwrap()).unwrap();
        let (blank, written) = (decode(""), decode("m = n ≥ 8"));
        assert_eq!((written.width(), written.height()), (120, 40));
        assert_ne!(blank.data(), written.data(), "the font is missing");
        assert!(render("x", "<svg").unwrap_err().to_string().contains("summary.csv"));
    }
}

// A result made ready for drawing: the picture, one path per mask, and tinted maps.

/** Decode a result of connection.js. */
export async function decodeScene({ header, picture, prms, classMaps }) {
  const [photo, prmColumn, classMapColumn] = await Promise.all([
    createImageBitmap(new Blob([picture], { type: "image/jpeg" })),
    decodeGrey(prms),
    decodeGrey(classMaps),
  ]);
  return {
    ...header,
    photo,
    instances: header.instances.map((instance, n) => ({
      ...instance,
      path: maskPath(instance.outlines),
      prm: prmColumn && once(() => tint(prmColumn, header.prm_size, n, instance.colour)),
    })),
    classMaps:
      classMapColumn &&
      header.class_maps.map((entry, n) => ({
        ...entry,
        map: once(() => tint(classMapColumn, header.class_map_size, n, entry.colour)),
      })),
  };
}

/** Outlines run through the centres of pixels, half a pixel from their corners. */
function maskPath(outlines) {
  const path = new Path2D();
  for (const points of outlines) {
    path.moveTo(points[0] + 0.5, points[1] + 0.5);
    for (let n = 2; n < points.length; n += 2) path.lineTo(points[n] + 0.5, points[n + 1] + 0.5);
    path.closePath();
  }
  return path;
}

/** A grey PNG as pixels, or null if there is none. */
async function decodeGrey(png) {
  if (png.length === 0) return null;
  const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Map number `n` of a column of maps: its values become the opacity of a colour. */
function tint(column, [height, width], n, [red, green, blue]) {
  const pixels = new ImageData(width, height);
  const start = n * height * width * 4;
  for (let at = 0; at < pixels.data.length; at += 4) {
    const value = column.data[start + at];
    pixels.data[at] = red;
    pixels.data[at + 1] = green;
    pixels.data[at + 2] = blue;
    pixels.data[at + 3] = value;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Layers that are switched off cost nothing. */
function once(make) {
  let made = null;
  return () => (made ??= make());
}

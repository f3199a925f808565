// v86 in node, from power-on to a text on its first serial line:   node v86_boot.mjs FOLDER OPTIONS TEXT
// FOLDER has node_modules/v86; OPTIONS are those of its constructor, as JSON.  Status 1 after five minutes.
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, options, text] = process.argv.slice(2);
const build = path.join(folder, "node_modules", "v86", "build");
const { V86 } = await import(pathToFileURL(path.join(build, "libv86.mjs")).href);
const emulator = new V86({
    wasm_path: path.join(build, "v86.wasm"), autostart: true, disable_keyboard: true, disable_mouse: true, ...JSON.parse(options),
});
let said = "";
emulator.add_listener("serial0-output-byte", byte => {
    said = (said + String.fromCharCode(byte)).slice(-4000);
    if (said.endsWith(text)) process.exit(0);
});
setTimeout(() => { process.stderr.write(said); process.exit(1); }, 300_000);

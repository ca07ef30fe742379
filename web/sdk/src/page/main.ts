/** `<script src="…/sdk.js">`: everything under `window.Clarion`. */

import { init } from "./clarion";

Object.assign(window, { Clarion: { init } });

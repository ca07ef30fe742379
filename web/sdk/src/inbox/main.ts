/** `<script src="…/inbox.js">`: defines the element. */

import { ClarionInbox } from "./inbox";

if (!customElements.get("clarion-inbox")) customElements.define("clarion-inbox", ClarionInbox);

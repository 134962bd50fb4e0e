/** koffi, configured: it takes settings only before the first library is loaded, whichever that is. */
import koffi from "koffi";

// The default stack of koffi's asynchronous calls (128 KiB) is smaller than what ONNX Runtime's kernels put on it.
koffi.config({ async_stack_size: 4 << 20, sync_stack_size: 4 << 20, resident_async_pools: 2 });

export default koffi;

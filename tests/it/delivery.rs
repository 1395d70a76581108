//! The worker with a real queue, a real store and real receivers on loopback.

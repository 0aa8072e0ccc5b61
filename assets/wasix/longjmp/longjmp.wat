;; longjmp that throws the same exception object every time.
;;
;; Wasmer allocates an object and walks the whole native stack at each `throw`, and keeps the object until
;; its store is dropped: an error through n PG_TRY levels would cost n walks, and memory for ever.
;; `throw_ref` of an object that exists does neither. Its payload is always the address of
;; longjmp_args, which is read as soon as it is caught, so one object per process is enough.
;;
;; The global holds a handle of one store: a new process must start with it null.
(module
 (import "main" "memory" (memory 1))
 (import "main" "__c_longjmp" (tag $tag (param i32)))
 (import "main" "longjmp_args" (global $args i32))
 (global $exception (export "pgl_longjmp_exception") (mut exnref) (ref.null noexn))
 (func (export "__wasm_longjmp") (param $env i32) (param $value i32)
  (i32.store (global.get $args) (local.get $env))
  (i32.store offset=4 (global.get $args)
   (select (local.get $value) (i32.const 1) (local.get $value)))
  (if (ref.is_null (global.get $exception)) (then
   (global.set $exception (block $caught (result exnref)
     (try_table (catch_all_ref $caught) (throw $tag (global.get $args)))
     (unreachable)))))
  (throw_ref (global.get $exception))))

;; Tells compiled code of slots of the table that the kernel has filled.
;;
;; The table has a fixed size, so Wasmer keeps a copy of its elements inside the instance, where an indirect call finds
;; them with two loads less. Instructions keep that copy up to date; side modules and the kernel, which fill slots from
;; outside, do not. This does it for the slots from $slot up to $end.
(module
 (import "main" "__indirect_function_table" (table $table 0 funcref))
 (func (export "pgl_table_publish") (param $slot i32) (param $end i32)
  (block $done
   (loop $next
    (br_if $done (i32.ge_u (local.get $slot) (local.get $end)))
    (table.set $table (local.get $slot) (table.get $table (local.get $slot)))
    (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
    (br $next)))))

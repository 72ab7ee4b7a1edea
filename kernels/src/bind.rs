//! What a challenge does to the values of a multilinear polynomial.

use obelysk_prover::DeviceError;

use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;

impl Kernels {
    /// Bind the most significant variable of a polynomial given by its values on the cube.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    ///
    /// # Panics
    /// For an odd number of values.
    pub fn bind(&self, values: &mut Buffer<Extension>, challenge: Extension) -> Result<(), DeviceError> {
        assert_eq!(values.len() % 2, 0, "each value has another one that differs in the variable");
        let half = values.len() / 2;
        let count = half as u64;
        let mut arguments = self.launch(&self.bind_variable);
        arguments.arg(self.given_mut(values)).arg(&count).arg(&challenge);
        // SAFETY: `bind_variable(Extension*, uint64_t, Extension)` touches twice `count` values, and there are as many.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.bind_variable, half, &mut arguments)?;
        }
        values.truncate(half);
        Ok(())
    }
}

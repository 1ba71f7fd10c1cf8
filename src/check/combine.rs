use super::{Check, CheckContext, CheckError, Needs};

/// Both of two checks: see [`Check::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B> {
    left: A,
    right: B,
}

impl<A, B> And<A, B> {
    pub(super) fn new(left: A, right: B) -> Self {
        Self { left, right }
    }
}

impl<A: Check, B: Check> Check for And<A, B> {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        self.left.check(request)?;
        self.right.check(request)
    }

    fn needs(&self, needs: &mut Needs) {
        self.left.needs(needs);
        self.right.needs(needs);
    }
}

/// Either of two checks: see [`Check::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B> {
    left: A,
    right: B,
}

impl<A, B> Or<A, B> {
    pub(super) fn new(left: A, right: B) -> Self {
        Self { left, right }
    }
}

impl<A: Check, B: Check> Check for Or<A, B> {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let Err(left) = self.left.check(request) else {
            return Ok(());
        };
        let Err(right) = self.right.check(request) else {
            return Ok(());
        };
        match (left, right) {
            (left @ CheckError::Denied(_), CheckError::Denied(_)) => Err(left),
            (left @ CheckError::Unavailable(_), _) => Err(left),
            (_, right) => Err(right),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        needs.either(Needs::of(&self.left), Needs::of(&self.right));
    }
}

macro_rules! all_of {
    ($($name:ident),+) => {
        /// All of them, in their order.
        impl<$($name: Check),+> Check for ($($name,)+) {
            fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
                #[expect(non_snake_case, reason = "the macro names each by its type")]
                let ($($name,)+) = self;
                $($name.check(request)?;)+
                Ok(())
            }

            fn needs(&self, needs: &mut Needs) {
                #[expect(non_snake_case, reason = "the macro names each by its type")]
                let ($($name,)+) = self;
                $($name.needs(needs);)+
            }
        }
    };
}
all_of!(A, B);
all_of!(A, B, C);
all_of!(A, B, C, D);
all_of!(A, B, C, D, E);
all_of!(A, B, C, D, E, F);
all_of!(A, B, C, D, E, F, G);
all_of!(A, B, C, D, E, F, G, H);
